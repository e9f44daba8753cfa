// What one service leaves for others to do: a row in its own schema's outbox table, appended in the transaction that
// makes the change, and done by a consumer that the other service gives. No work is here, only who does what when.
//
// A consumer is handed the transaction in which its row is deleted: what it does through that is done exactly once.
// What it does elsewhere is done at least once, and must bear it. What is too much for one transaction it does in steps.
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

/// How far a consumer has come with an entry.
public enum OutboxProgress: Sendable {
    case done
    /// What was done so far is committed; the entry stays, and comes again at once.
    case unfinished
}

public struct OutboxConsumer: Sendable {
    public let name: String
    let consume: @Sendable (OutboxEntry, PostgresConnection) async throws -> OutboxProgress

    public init(
        _ name: String, consume: @escaping @Sendable (OutboxEntry, PostgresConnection) async throws -> OutboxProgress
    ) {
        self.name = name
        self.consume = consume
    }
}

/// An account has ended; the key is its user. Profile comes first, so that from then on nobody can ask for a friendship
/// that Friendship has ended already; Inbox last, so that nobody writes to a log that is gone.
public enum AccountDeleted {
    public static let topic = "account.deleted"
    public static let consumers = ["profile", "friendship", "inbox"]
}

/// Devices that have ended are forgotten, some at a time.
public struct DevicesForgotten: Equatable, Sendable {
    public static let topic = "devices.forgotten"
    public static let consumers = ["inbox"]
    /// Of all of them: they concern many users, and no order matters.
    public static let key: Int64 = 0

    /// Whose device each of the others is.
    public let users: [Int64]
    public let devices: [Int64]

    public init(users: [Int64], devices: [Int64]) {
        precondition(users.count == devices.count)
        (self.users, self.devices) = (users, devices)
    }

    /// All users, then all devices, eight bytes each, the highest first.
    public init?(payload: [UInt8]) {
        guard payload.count.isMultiple(of: 16) else { return nil }
        let ids = stride(from: 0, to: payload.count, by: 8).map { start in
            payload[start..<start + 8].reduce(0) { $0 << 8 | Int64($1) }
        }
        self.init(users: Array(ids.prefix(ids.count / 2)), devices: Array(ids.suffix(ids.count / 2)))
    }

    public var payload: [UInt8] {
        (users + devices).flatMap { id in stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: id >> $0) } }
    }
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
