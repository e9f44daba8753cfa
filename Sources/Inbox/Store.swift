// Logs in Postgres (deploy/migrations/0001_inbox.sql). This file: what is read. Every read is whole: it returns what follows
// a seq, in order, with nothing left out in between, or fails. Store+Append.swift: the one statement that writes messages.
import Contract
import Foundation
import Postgres

public struct InboxStore: Sendable {
    let postgres: PostgresClient

    public init(postgres: PostgresClient) {
        self.postgres = postgres
    }

    /// Events after since, oldest first, at most limit of them and no more than fill a page; one at least, if there is one.
    /// Only the head tells whether there are more.
    public func read(_ user: Int64, since: Int64, limit: Int) async throws(PostgresError) -> [LogEvent] {
        // Postgres cuts the page, so that no more of it is ever in this process. It knows a payload's length without its
        // bytes, and reads those of the page alone.
        let rows = try await postgres.query(
            """
            SELECT seq, at, payload FROM (
                SELECT *, sum(octet_length(payload)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS bytes
                FROM (
                    SELECT seq, at, payload FROM inbox.events
                    WHERE user_id = \(user) AND seq > \(since) ORDER BY seq LIMIT \(Int64(limit))
                ) AS events
            ) AS counted
            WHERE bytes <= \(Int64(InboxRules.pageBytesMax)) OR bytes = octet_length(payload) ORDER BY seq
            """)
        var events: [LogEvent] = []
        events.reserveCapacity(rows.count)
        for row in rows {
            let (seq, at, payload) = try row.decode(Int64.self, Date.self, [UInt8].self)
            events.append(LogEvent(seq: seq, at: at, payload: payload))
        }
        return events
    }

    /// Where a message of a device stands in its sender's log; nil when it was never appended.
    public func sent(by user: Int64, device: Int64, clientID: String) async throws(PostgresError) -> Appended? {
        let rows = try await postgres.query(
            """
            SELECT seq, at FROM inbox.events
            WHERE user_id = \(user) AND device_id = \(device) AND client_id = \(clientID)
            """)
        guard let row = rows.first else { return nil }
        let (seq, at) = try row.decode(Int64.self, Date.self)
        return Appended(senderSeq: seq, at: at, recipientSeq: nil)
    }

    /// The newest seq of a log; nil for a user who has none.
    public func head(of user: Int64) async throws(PostgresError) -> Int64? {
        let rows = try await postgres.query("SELECT seq FROM inbox.heads WHERE user_id = \(user)")
        guard let row = rows.first else { return nil }
        return try row[0, as: Int64.self]
    }

    /// How far each device has acknowledged its user's log.
    func cursors(of user: Int64) async throws(PostgresError) -> [Ringway_V1_Cursor] {
        let rows = try await postgres.query(
            "SELECT device_id, acked_seq FROM inbox.cursors WHERE user_id = \(user) ORDER BY device_id")
        var cursors: [Ringway_V1_Cursor] = []
        for row in rows {
            let (device, seq) = try row.decode(Int64.self, Int64.self)
            cursors.append(.with { ($0.deviceID, $0.ackedSeq) = (device, seq) })
        }
        return cursors
    }

    /// The newest seqs of many logs.
    public func heads(of users: [Int64]) async throws(PostgresError) -> [(user: Int64, seq: Int64)] {
        let rows = try await postgres.query("SELECT user_id, seq FROM inbox.heads WHERE user_id = ANY (\(users))")
        var heads: [(user: Int64, seq: Int64)] = []
        for row in rows {
            let (user, seq) = try row.decode(Int64.self, Int64.self)
            heads.append((user, seq))
        }
        return heads
    }
}
