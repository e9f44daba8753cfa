// What the Postgres tests share: a fresh database each, and a client of the wanted shape on it.
import Foundation
import Postgres
import TestSupport
import Testing

/// Runs a test on a fresh database without migrations, with a client that `configure` may shape.
func withDatabase(
    configure: (inout PostgresConfiguration) -> Void = { _ in },
    _ body: (PostgresClient, TestDatabase) async throws -> Void
) async throws {
    let database = try await TestDatabase.create(migrations: false)
    var configuration = PostgresConfiguration(url: database.url)
    configure(&configuration)
    let client = PostgresClient(configuration: configuration, logger: .quiet)
    do {
        try await body(client, database)
    } catch {
        await client.shutdown()
        try await database.drop()
        throw error
    }
    await client.shutdown()
    try await database.drop()
}

func execute(_ script: String, _ client: PostgresClient) async throws {
    try await client.withConnection { try await $0.execute(script: script) }
}

/// The error that `body` throws, if it is a `PostgresError`.
func postgresError(_ body: () async throws -> Void) async -> PostgresError? {
    do {
        try await body()
        Issue.record("nothing was thrown")
        return nil
    } catch {
        if !(error is PostgresError) { Issue.record("\(error) was thrown") }
        return error as? PostgresError
    }
}

extension PostgresClient {
    /// The one value of a statement's one row.
    func value<Value: PostgresDecodable>(_ query: PostgresQuery, as type: Value.Type = Int.self) async throws -> Value {
        try await self.query(query)[0].decode(type)
    }
}

extension PostgresConnection {
    func value<Value: PostgresDecodable>(_ query: PostgresQuery, as type: Value.Type = Int.self) async throws -> Value {
        try await self.query(query)[0].decode(type)
    }
}
