// Statements: their order, their errors, and what a deadline or a cancellation leaves behind.
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct QueryTests {
    @Test func manyTasks_shareFewConnections() async throws {
        try await withDatabase(configure: { $0.poolSize = 4 }) { client, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<100 {
                    group.addTask {
                        for step in 0..<20 {
                            let number = task * 1000 + step
                            let back = try await client.value("SELECT \(number)")
                            #expect(back == number)
                        }
                    }
                }
                try await group.waitForAll()
            }
            let connections = try await client.query(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend'
                """)
            #expect(try connections[0].decode(Int.self) <= 4)
        }
    }

    @Test func sharedConnection_keepsErrorsApart() async throws {
        try await withDatabase(configure: { $0.poolSize = 1 }) { client, _ in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        if number % 3 == 0 {
                            let error = await postgresError { try await client.query("SELECT 1 / \(number - number)") }
                            #expect(error?.sqlState == "22012")
                        } else {
                            let back = try? await client.value("SELECT \(number)")
                            #expect(back == number)
                        }
                    }
                }
            }
        }
    }

    @Test func session_isUTCAndNamed() async throws {
        try await withDatabase(configure: { $0.applicationName = "ringway-test" }) { client, _ in
            let rows = try await client.query("SELECT current_setting('timezone'), current_setting('application_name')")
            let row = rows[0]
            #expect(try row.decode(String.self, String.self) == ("UTC", "ringway-test"))
        }
    }

    @Test func uniqueViolation_namesItsConstraint() async throws {
        try await withDatabase { client, _ in
            try await execute("CREATE TABLE t (name text CONSTRAINT t_name_is_taken UNIQUE)", client)
            try await client.query("INSERT INTO t VALUES (\("secret"))")
            let error = await postgresError { try await client.query("INSERT INTO t VALUES (\("secret"))") }
            #expect(error?.code == .server)
            #expect(error?.sqlState == "23505")
            #expect(error?.constraint == "t_name_is_taken")
            #expect(error?.table == "t")
        }
    }

    @Test func errors_carryNoData() async throws {
        try await withDatabase { client, _ in
            try await execute("CREATE TABLE t (name text UNIQUE, age int8 CHECK (age > 0))", client)
            try await client.query("INSERT INTO t VALUES (\("hunter2"), 1)")
            let errors = [
                await postgresError { try await client.query("INSERT INTO t VALUES (\("hunter2"), 1)") },
                await postgresError { try await client.query("INSERT INTO t VALUES (\("hunter2"), -1)") },
                await postgresError { try await client.query("SELECT \("hunter2")::int8") },
                await postgresError { try await client.query("SELECT \("hunter2\0")") },
                await postgresError { _ = try await client.value("SELECT name FROM t") },
            ]
            for error in errors {
                let error = try #require(error)
                for text in ["\(error)", String(reflecting: error), dumped(error)] {
                    #expect(!text.contains("hunter2"), "\(text)")
                }
            }
        }
    }

    @Test(arguments: [
        "postgresql://ringway:hunter2@/nowhere?host=/nonexistent",
        "postgresql://ringway:x@hunter2@/nowhere?host=/nonexistent",
        "postgresql://ringway:hunter2@/nowhere?hosst=/nonexistent",
        "host=/nonexistent password=hunter2 hunter2",
    ])
    func errors_carryNoPassword(url: String) async throws {
        let client = PostgresClient(configuration: PostgresConfiguration(url: url), logger: .quiet)
        let error = try #require(await postgresError { try await client.query("SELECT 1") })
        #expect([.unavailable, .invalidParameter].contains(error.code))
        #expect(!"\(error) \(dumped(error))".contains("hunter2"), "\(error)")
        await client.shutdown()
    }

    private func dumped(_ error: PostgresError) -> String {
        var text = ""
        dump(error, to: &text)
        return text
    }

    @Test func pipeline_answersInOrder() async throws {
        try await withDatabase { client, _ in
            let answers = try await client.withConnection { connection in
                try await connection.pipeline((0..<50).map { "SELECT \($0), \("text \($0)")" })
            }
            let numbers = try answers.map { try $0[0].decode(Int.self, String.self).0 }
            #expect(numbers == Array(0..<50))
        }
    }

    @Test func pipeline_withAnErrorHasNoEffectAtAll() async throws {
        try await withDatabase { client, _ in
            try await execute("CREATE TABLE t (id int8 PRIMARY KEY)", client)
            let error = await postgresError {
                try await client.withConnection { connection in
                    _ = try await connection.pipeline([
                        "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (\(2))", "INSERT INTO t VALUES (1)",
                        "INSERT INTO t VALUES (\(3))",
                    ])
                }
            }
            #expect(error?.sqlState == "23505")
            // The statements behind the error were never prepared: they must still work under their text.
            try await client.withConnection { connection in
                #expect(try await connection.value("SELECT count(*) FROM t") == 0)
                _ = try await connection.pipeline(["INSERT INTO t VALUES (\(2))", "INSERT INTO t VALUES (\(3))"])
            }
            #expect(try await client.value("SELECT count(*) FROM t") == 2)
        }
    }

    @Test func timeout_leavesThePoolUsable() async throws {
        try await withDatabase(configure: { $0.poolSize = 1 }) { client, _ in
            try await client.query("SELECT 1")
            for _ in 0..<5 {
                let start = ContinuousClock.now
                let error = await postgresError {
                    try await client.query("SELECT pg_sleep(10)", timeout: .milliseconds(100))
                }
                #expect(error?.code == .timeout)
                #expect(ContinuousClock.now - start < .seconds(2))
                let back = try await client.value("SELECT \(1)")
                #expect(back == 1)
            }
        }
    }

    @Test func cancellation_answersAtOnceAndStopsTheServer() async throws {
        try await withDatabase(configure: { $0.poolSize = 2 }) { client, _ in
            let sleeper = Task { await postgresError { try await client.query("SELECT pg_sleep(20), 'sleeper'") } }
            try await eventually { try await sleepers(client) == 1 }
            let start = ContinuousClock.now
            sleeper.cancel()
            #expect(await sleeper.value?.code == .cancelled)
            #expect(ContinuousClock.now - start < .seconds(1))
            try await eventually { try await sleepers(client) == 0 }
        }
    }

    @Test func cancelStorm_hitsNobodyElse() async throws {
        try await withDatabase(configure: { $0.poolSize = 2 }) { client, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<300 {
                    group.addTask {
                        if number % 3 == 0 {
                            let victim = Task {
                                let timeout = Duration.milliseconds(number % 20)
                                _ = try? await client.query("SELECT pg_sleep(0.05)", timeout: timeout)
                            }
                            try await Task.sleep(for: .milliseconds(number % 30))
                            victim.cancel()
                            await victim.value
                        } else {
                            #expect(try await client.value("SELECT \(number)") == number)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func cancelledTask_sendsNothing() async throws {
        try await withDatabase { client, _ in
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return await postgresError { try await client.query("SELECT 1") }
            }
            #expect(await task.value?.code == .cancelled)
        }
    }

    private func sleepers(_ client: PostgresClient) async throws -> Int {
        try await client.query(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active'
                AND query LIKE '%''sleeper''' AND pid <> pg_backend_pid()
            """
        )[0].decode(Int.self)
    }

    @Test func statementCache_evictsAndSurvivesSchemaChanges() async throws {
        try await withDatabase(configure: {
            $0.poolSize = 1
            $0.statementCacheSize = 4
        }) { client, _ in
            try await execute("CREATE TABLE t (id int8); INSERT INTO t VALUES (1)", client)
            let texts: [PostgresQuery] = [
                "SELECT 1 + \(1)", "SELECT 2 + \(1)", "SELECT 3 + \(1)", "SELECT 4 + \(1)", "SELECT 5 + \(1)",
                "SELECT 6 + \(1)",
            ]
            for _ in 0..<3 {
                for (index, query) in texts.enumerated() {
                    #expect(try await client.value(query) == index + 2)
                }
            }
            let kept = try await client.value("SELECT count(*) FROM pg_prepared_statements")
            #expect(kept <= 5)

            #expect(try await client.query("SELECT * FROM t")[0].columnCount == 1)
            try await execute("ALTER TABLE t ADD name text", client)
            #expect(try await client.query("SELECT * FROM t")[0].columnCount == 2)
            try await execute("DEALLOCATE ALL", client)
            #expect(try await client.query("SELECT * FROM t")[0].columnCount == 2)
        }
    }

    @Test func oneText_withTwoParameterTypes() async throws {
        try await withDatabase(configure: { $0.poolSize = 1 }) { client, _ in
            for _ in 0..<3 {
                let number = try await client.value("SELECT \(1)")
                let text = try await client.value("SELECT \("one")", as: String.self)
                #expect((number, text) == (1, "one"))
            }
        }
    }

    @Test func withoutPreparedStatements_nothingIsNamed() async throws {
        try await withDatabase(configure: { $0.preparedStatements = false }) { client, _ in
            for number in 0..<5 {
                #expect(try await client.value("SELECT \(number)") == number)
            }
            let kept = try await client.query("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
            #expect(try kept[0].decode(Int.self) == 0)
        }
    }

    @Test func script_runsSeveralStatements() async throws {
        try await withDatabase { client, _ in
            try await execute("CREATE TABLE a (x int); CREATE TABLE b (x int); SELECT 1;", client)
            let error = await postgresError { try await execute("INSERT INTO a VALUES (1); SELECT 1/0;", client) }
            #expect(error?.sqlState == "22012")
            #expect(try await client.query("SELECT x FROM a").isEmpty)
            let copy = await postgresError { try await execute("COPY a FROM STDIN", client) }
            #expect(copy?.code == .server)
            #expect(try await client.query("SELECT x FROM b").isEmpty)
        }
    }
}
