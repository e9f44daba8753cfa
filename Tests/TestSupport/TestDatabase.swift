// A fresh database for a test, on the server at RINGWAY_TEST_POSTGRES_URL (`make test` starts one). The test drops it.
import Foundation
import Logging
import Postgres

public struct TestDatabase: Sendable {
    public let url: String
    public let client: PostgresClient
    private let name: String

    /// - Parameter migrations: applies deploy/migrations of this checkout.
    public static func create(migrations: Bool = true) async throws -> TestDatabase {
        guard let server = ProcessInfo.processInfo.environment["RINGWAY_TEST_POSTGRES_URL"] else {
            throw MissingServer()
        }
        let name = "test_\(UInt64.random(in: 0...UInt64.max))"
        try await onServer(server) { try await $0.execute(script: "CREATE DATABASE \(name)") }

        let url = try replaceDatabase(of: server, with: name)
        let client = PostgresClient(configuration: PostgresConfiguration(url: url), logger: .quiet)
        let database = TestDatabase(url: url, client: client, name: name)
        if migrations {
            let directory = URL(filePath: #filePath).appending(path: "../../../deploy/migrations").standardizedFileURL
            do {
                _ = try await Migrator(directory: directory).migrate(client)
            } catch {
                try await database.drop()
                throw error
            }
        }
        return database
    }

    /// Closes the client and removes the database, even from under clients that are still connected.
    public func drop() async throws {
        await client.shutdown()
        try await TestDatabase.onServer(url: url, dropping: name)
    }

    /// Runs a test on a migrated database, which is dropped afterwards, whatever happens.
    public static func with(_ body: (TestDatabase) async throws -> Void) async throws {
        let database = try await create()
        do {
            try await body(database)
        } catch {
            try await database.drop()
            throw error
        }
        try await database.drop()
    }

    private static func onServer(url: String, dropping name: String) async throws {
        let server = try replaceDatabase(of: url, with: "postgres")
        try await onServer(server) { try await $0.execute(script: "DROP DATABASE IF EXISTS \(name) WITH (FORCE)") }
    }

    private static func onServer(
        _ url: String, _ body: @Sendable (PostgresConnection) async throws -> Void
    ) async throws {
        var configuration = PostgresConfiguration(url: url)
        configuration.poolSize = 1
        let client = PostgresClient(configuration: configuration, logger: .quiet)
        do {
            try await client.withConnection(body)
        } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
    }

    private static func replaceDatabase(of url: String, with name: String) throws -> String {
        guard let scheme = url.range(of: "://"),
            let slash = url[scheme.upperBound...].firstIndex(of: "/")
        else { throw MissingServer() }
        let query = url[slash...].firstIndex(of: "?") ?? url.endIndex
        return url[...slash] + name + url[query...]
    }
}

/// Tests that need a database fail without one; they never pass by not running.
public struct MissingServer: Error, CustomStringConvertible {
    public let description =
        "RINGWAY_TEST_POSTGRES_URL is not a postgresql://host/database URL: run the tests with `make test`"
}

extension Logger {
    /// Nothing of a test's client is news.
    public static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}
