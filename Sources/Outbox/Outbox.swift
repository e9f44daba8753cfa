// What one service leaves for others to do: a row in its own schema's outbox table, appended in the transaction that
// makes the change, and done by a consumer that the other service gives. No work is here, only who does what when.
//
// A consumer is handed the transaction in which its row is deleted: what it does through that is done exactly once.
// What it does elsewhere is done at least once, and must bear it.
import Foundation
import Postgres

public struct OutboxEntry: Sendable, Equatable {
    public let id: Int64
    public let topic: String
    /// What orders entries: those of one key are done one after the other.
    public let key: Int64
    public let payload: [UInt8]
    /// Tries before this one.
    public let attempts: Int
}

public struct OutboxConsumer: Sendable {
    public let name: String
    let consume: @Sendable (OutboxEntry, PostgresConnection) async throws -> Void

    public init(
        _ name: String, consume: @escaping @Sendable (OutboxEntry, PostgresConnection) async throws -> Void
    ) {
        self.name = name
        self.consume = consume
    }
}

/// An account has ended; the key is its user. Friendship comes first, so that nobody writes to a log that is gone.
public enum AccountDeleted {
    public static let topic = "account.deleted"
    public static let consumers = ["friendship", "profile", "inbox"]
}

extension PostgresQuery {
    /// One row a consumer, in the order given. `schema` is the writing service's own. Whoever writes several entries of
    /// one key holds a lock that orders them: ids are taken before commits.
    public static func appendToOutbox(
        _ schema: StaticString, topic: String, key: Int64, payload: [UInt8] = [], to consumers: [String]
    ) -> PostgresQuery {
        """
        WITH appended AS (
            INSERT INTO \(unescaped: schema).outbox (topic, consumer, key, payload)
            SELECT \(topic), consumer, \(key), \(payload) FROM unnest(\(consumers)) WITH ORDINALITY AS c (consumer, place)
            ORDER BY place
        )
        SELECT pg_notify('ringway_outbox', '')
        """
    }
}
