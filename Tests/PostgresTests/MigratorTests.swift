// The migrator: once each, in order, whole or not at all, and never two at a time.
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct MigratorTests {
    /// A directory of migrations that a test may change.
    private final class Files: Sendable {
        let directory = FileManager.default.temporaryDirectory.appending(path: "migrations-\(UUID())")

        init(_ files: [String: String]) throws {
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            for (name, script) in files { try write(name, script) }
        }

        deinit { try? FileManager.default.removeItem(at: directory) }

        var migrator: Migrator { Migrator(directory: directory) }

        /// Several at once, each with a client of its own. What each of them applied, without those that had nothing to do.
        func migrate(_ database: TestDatabase, migrators: Int) async throws -> [[String]] {
            try await withThrowingTaskGroup(of: [String].self) { group in
                for _ in 0..<migrators {
                    group.addTask {
                        let client = PostgresClient(configuration: PostgresConfiguration(url: database.url), logger: .quiet)
                        let names = try await self.migrator.migrate(client)
                        await client.shutdown()
                        return names
                    }
                }
                return try await group.reduce(into: []) { if !$1.isEmpty { $0.append($1) } }
            }
        }

        func write(_ name: String, _ script: String) throws {
            try script.write(to: directory.appending(path: name), atomically: true, encoding: .utf8)
        }

        func remove(_ name: String) throws {
            try FileManager.default.removeItem(at: directory.appending(path: name))
        }
    }

    private static let two = [
        "0001_first.sql": "CREATE TABLE first (x int); INSERT INTO first VALUES (1);",
        "0002_second.sql": "CREATE TABLE second (x int);\n-- an end without a semicolon\nINSERT INTO second VALUES (1)",
        "README.md": "ignored",
    ]

    @Test func migrate_appliesOnce() async throws {
        try await withDatabase { client, _ in
            let files = try Files(Self.two)
            #expect(try await files.migrator.status(client) == .behind(["0001_first", "0002_second"]))
            #expect(try await files.migrator.migrate(client) == ["0001_first", "0002_second"])
            #expect(try await files.migrator.migrate(client) == [])
            #expect(try await files.migrator.status(client) == .current)
            try files.write("0003_third.sql", "CREATE INDEX ON first (x)")
            #expect(try await files.migrator.status(client) == .behind(["0003_third"]))
            #expect(try await files.migrator.migrate(client) == ["0003_third"])
        }
    }

    @Test func migrate_concurrentlyAppliesOnce() async throws {
        try await withDatabase { client, database in
            let files = try Files(Self.two)
            #expect(try await files.migrate(database, migrators: 6) == [["0001_first", "0002_second"]])
            #expect(try await client.query("SELECT x FROM first").count == 1)
        }
    }

    @Test func brokenMigration_isRolledBackAndNamed() async throws {
        try await withDatabase { client, _ in
            let files = try Files(Self.two)
            try files.write("0002_second.sql", "CREATE TABLE second (x int); SELECT 1/0;")
            let refused = MigrationError.refused("0002_second", sqlState: "22012", message: "division by zero")
            await #expect(throws: refused) {
                try await files.migrator.migrate(client)
            }
            #expect(try await files.migrator.status(client) == .behind(["0002_second"]))
            #expect(try await client.value("SELECT to_regclass('second') IS NULL", as: Bool.self))
            try files.write("0002_second.sql", "CREATE TABLE second (x int)")
            #expect(try await files.migrator.migrate(client) == ["0002_second"])
        }
    }

    @Test func changedMigration_isRefused() async throws {
        try await withDatabase { client, _ in
            let files = try Files(Self.two)
            _ = try await files.migrator.migrate(client)
            try files.write("0001_first.sql", "CREATE TABLE other (x int)")
            #expect(try await files.migrator.status(client) == .changed(["0001_first"]))
            await #expect(throws: MigrationError.changed(["0001_first"])) { try await files.migrator.migrate(client) }
        }
    }

    @Test func newerSchema_isUnknownNotAnError() async throws {
        try await withDatabase { client, _ in
            let files = try Files(Self.two)
            _ = try await files.migrator.migrate(client)
            try files.remove("0002_second.sql")
            #expect(try await files.migrator.status(client) == .unknown([2]))
            #expect(try await files.migrator.migrate(client) == [])
        }
    }

    @Test func records__tell_each_migration_and_its_state() async throws {
        try await withDatabase { client, _ in
            let files = try Files(Self.two)
            #expect(try await files.migrator.records(client).map(\.state) == [.pending, .pending])
            _ = try await files.migrator.migrate(client)
            try files.write("0000_early.sql", "SELECT 1")
            try files.write("0001_first.sql", "SELECT 1")
            try files.remove("0002_second.sql")
            try files.write("0003_third.sql", "SELECT 1")
            let records = try await files.migrator.records(client)
            #expect(records.map(\.name) == ["0000_early", "0001_first", "0002_second", "0003_third"])
            #expect(records.map(\.state) == [.outOfOrder, .changed, .unknown, .pending])
            #expect(records.map { $0.appliedAt == nil } == [true, false, false, true])
            // To say so has changed nothing.
            #expect(try await client.value("SELECT count(*) FROM ringway_migrations", as: Int64.self) == 2)
        }
    }

    @Test func a_lock_that_is_not_to_be_had__ends_the_file_and_not_who_waits_behind_it() async throws {
        try await withDatabase { client, _ in
            let files = try Files(Self.two)
            _ = try await files.migrator.migrate(client)
            try files.write("0003_third.sql", "ALTER TABLE first ADD COLUMN y int")
            try await client.transaction { holder in
                try await holder.query("SELECT x FROM first")
                await #expect(throws: MigrationError.locked("0003_third")) { try await files.migrator.migrate(client) }
            }
            #expect(try await files.migrator.migrate(client) == ["0003_third"])
        }
    }

    @Test func file_outside_of_a_transaction__builds_an_index_while_another_migrator_waits() async throws {
        try await withDatabase { client, database in
            let files = try Files(Self.two)
            _ = try await files.migrator.migrate(client)
            try files.write(
                "0003_third.sql", "-- outside of a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS of_x ON first (x)")
            #expect(try await files.migrate(database, migrators: 3) == [["0003_third"]])
            #expect(try await client.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'of_x'::regclass", as: Bool.self))
            #expect(try await files.migrator.status(client) == .current)
        }
    }

    @Test func index_that_a_try_left_unfinished__is_built_anew() async throws {
        try await withDatabase { client, _ in
            let files = try Files(Self.two)
            _ = try await files.migrator.migrate(client)
            try await client.query("INSERT INTO first VALUES (1)")
            try files.write(
                "0003_third.sql",
                "-- outside of a transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS of_x ON first (x)")
            await #expect(throws: MigrationError.self) { try await files.migrator.migrate(client) }
            let isValid: PostgresQuery = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'of_x'::regclass"
            #expect(try await client.value(isValid, as: Bool.self) == false)
            try await client.query("DELETE FROM first")
            #expect(try await files.migrator.migrate(client) == ["0003_third"])
            #expect(try await client.value(isValid, as: Bool.self))
        }
    }

    @Test func badDirectories_areNamed() async throws {
        try await withDatabase { client, _ in
            await #expect(throws: MigrationError.unreadable("/nonexistent")) {
                try await Migrator(directory: "/nonexistent").migrate(client)
            }
            let misnamed = try Files(["1_short.sql": ""])
            await #expect(throws: MigrationError.misnamed("1_short.sql")) {
                try await misnamed.migrator.migrate(client)
            }
            let twins = try Files(["0001_a.sql": "", "0001_b.sql": ""])
            await #expect(throws: MigrationError.duplicate("0001_a", "0001_b")) {
                try await twins.migrator.migrate(client)
            }
            let files = try Files(["0002_late.sql": "SELECT 1"])
            _ = try await files.migrator.migrate(client)
            try files.write("0001_early.sql", "SELECT 1")
            await #expect(throws: MigrationError.outOfOrder("0001_early")) { try await files.migrator.migrate(client) }
        }
    }
}
