// Transactions and leases: what they guarantee, and what they leave behind.
import Foundation
import Postgres
import Testing

private struct Refusal: Error {}

@Suite struct TransactionTests {
    private func withTable(_ body: (PostgresClient) async throws -> Void) async throws {
        try await withDatabase(configure: { $0.poolSize = 4 }) { client, _ in
            try await execute("CREATE TABLE t (id int8 PRIMARY KEY, n int8 NOT NULL DEFAULT 0)", client)
            try await body(client)
        }
    }

    private func count(_ client: PostgresClient) async throws -> Int {
        try await client.value("SELECT count(*) FROM t")
    }

    @Test func transaction_commitsWhole() async throws {
        try await withTable { client in
            let sum = try await client.transaction { connection in
                try await connection.query("INSERT INTO t VALUES (\(1))")
                try await connection.query("INSERT INTO t VALUES (\(2))")
                return try await connection.value("SELECT sum(id)::int8 FROM t")
            }
            #expect(sum == 3)
            #expect(try await count(client) == 2)
        }
    }

    @Test func transaction_rollsBackOnAnyError() async throws {
        try await withTable { client in
            await #expect(throws: Refusal.self) {
                try await client.transaction { connection in
                    try await connection.query("INSERT INTO t VALUES (\(1))")
                    throw Refusal()
                }
            }
            let error = await postgresError {
                try await client.transaction { connection in
                    try await connection.query("INSERT INTO t VALUES (\(1))")
                    try await connection.query("INSERT INTO t VALUES (\(1))")
                }
            }
            #expect(error?.sqlState == "23505")
            let rows = try await count(client)
            #expect(rows == 0)
        }
    }

    @Test func transaction_thatSwallowedAnErrorIsNotCommitted() async throws {
        try await withTable { client in
            let error = await postgresError {
                try await client.transaction { connection in
                    try await connection.query("INSERT INTO t VALUES (\(1))")
                    _ = try? await connection.query("SELECT 1/0")
                }
            }
            #expect(error?.sqlState == "25P02")
            let rows = try await count(client)
            #expect(rows == 0)
        }
    }

    @Test func transaction_withAScriptFirstIsATransaction() async throws {
        try await withTable { client in
            await #expect(throws: Refusal.self) {
                try await client.transaction { connection in
                    try await connection.execute(script: "INSERT INTO t VALUES (1)")
                    throw Refusal()
                }
            }
            #expect(try await count(client) == 0)
            try await client.transaction { try await $0.execute(script: "INSERT INTO t VALUES (1)") }
            try await client.transaction { _ in }
            #expect(try await count(client) == 1)
        }
    }

    @Test func transaction_isDoomedByATimeout() async throws {
        try await withTable { client in
            let error = await postgresError {
                try await client.transaction { connection in
                    try await connection.query("INSERT INTO t VALUES (\(1))")
                    _ = try? await connection.query("SELECT pg_sleep(10)", timeout: .milliseconds(50))
                    try await connection.query("INSERT INTO t VALUES (\(2))")
                }
            }
            #expect(error?.code == .timeout)
            #expect(try await count(client) == 0)
            // Nothing of it holds a lock any more.
            try await client.query("INSERT INTO t VALUES (\(1))", timeout: .seconds(2))
        }
    }

    @Test func transaction_isRolledBackWhenItsTaskIsCancelled() async throws {
        try await withTable { client in
            let task = Task {
                try await client.transaction { connection in
                    try await connection.query("INSERT INTO t VALUES (\(1))")
                    try await connection.query("SELECT pg_sleep(10)")
                }
            }
            try await Task.sleep(for: .milliseconds(100))
            task.cancel()
            await #expect(throws: PostgresError.self) { try await task.value }
            try await client.query("INSERT INTO t VALUES (\(1))", timeout: .seconds(2))
            #expect(try await count(client) == 1)
        }
    }

    @Test func conflicts_areTriedAgain() async throws {
        try await withTable { client in
            try await client.query("INSERT INTO t VALUES (1, 0)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await client.transaction(isolation: .serializable, retryingConflicts: 100) { connection in
                            let n = try await connection.value("SELECT n FROM t WHERE id = 1")
                            try await connection.query("UPDATE t SET n = \(n + 1) WHERE id = 1")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await client.value("SELECT n FROM t") == 20)
        }
    }

    @Test func deadlock_isAConflict() async throws {
        try await withTable { client in
            try await client.query("INSERT INTO t VALUES (1), (2)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (first, second) in [(1, 2), (2, 1)] {
                    group.addTask {
                        try await client.transaction { connection in
                            try await connection.query("UPDATE t SET n = n + 1 WHERE id = \(first)")
                            try await Task.sleep(for: .milliseconds(50))
                            try await connection.query("UPDATE t SET n = n + 1 WHERE id = \(second)")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await client.value("SELECT sum(n)::int8 FROM t") == 4)
        }
    }

    @Test func lease_leavesNoTransactionOpen() async throws {
        try await withDatabase(configure: { $0.poolSize = 1 }) { client, _ in
            try await client.withConnection { try await $0.execute(script: "BEGIN; CREATE TABLE leftover (x int)") }
            #expect(try await client.value("SELECT to_regclass('leftover') IS NULL", as: Bool.self))
        }
    }

    @Test func handle_thatOutlivesItsBlockIsRefused() async throws {
        try await withDatabase { client, _ in
            let escaped = try await client.withConnection { $0 }
            #expect(await postgresError { try await escaped.query("SELECT 1") }?.code == .unavailable)
        }
    }

    @Test func lease_takesQueriesOfSeveralTasks() async throws {
        try await withDatabase { client, _ in
            try await client.withConnection { connection in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            if number % 10 == 0 { try await connection.execute(script: "SELECT 1; SELECT 2") }
                            #expect(try await connection.value("SELECT \(number)") == number)
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }
}
