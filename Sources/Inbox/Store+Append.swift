// The one statement that appends messages: all that arrived while the last commit was under way, in one go.
//
// Each message becomes two rows, one in the sender's log and one in the recipient's. Heads are locked in the order of
// user ids, so that writers of several nodes queue up instead of deadlocking, and seqs are counted on from the locked
// heads, so that a log has no gaps: either the rows and the heads are committed together or neither is.
//
// A message whose (device, client id) stands in the sender's log already is not appended again; it is answered with
// what it was answered first. Two nodes that append the same retry at the same moment meet at the unique index
// events_sent_once: one fails as a whole and, when it tries again, sees the other's row.
//
// The LIMIT 1 makes that look-up one of the index, message by message. As a plain join it is planned while the log is
// still empty, as a hash join that reads the whole log at every commit for as long as the plan is kept. The lateral lock
// does the same for the heads, and takes them in the order of its input, which is sorted.
import Foundation
import Postgres

/// A message on its way into the log.
public struct OutgoingMessage: Sendable {
    public let sender: Int64
    public let device: Int64
    public let clientID: String
    public let recipient: Int64
    /// Serialized events without seq and at, as each of the two logs keeps them.
    public let senderPayload: [UInt8]
    public let recipientPayload: [UInt8]

    public init(
        sender: Int64, device: Int64, clientID: String, recipient: Int64, senderPayload: [UInt8],
        recipientPayload: [UInt8]
    ) {
        self.sender = sender
        self.device = device
        self.clientID = clientID
        self.recipient = recipient
        self.senderPayload = senderPayload
        self.recipientPayload = recipientPayload
    }
}

/// Where a message stands, after the commit.
public struct Appended: Sendable {
    public let senderSeq: Int64
    public let at: Date
    /// Nil for a retry: its events were routed when it was first appended.
    public let recipientSeq: Int64?
}

extension InboxStore {
    /// The results are in the order of the messages; nil where a log is missing. No two messages may have the same
    /// (device, client id).
    func append(_ messages: [OutgoingMessage]) async throws(PostgresError) -> [Appended?] {
        let rows = try await postgres.query(
            """
            WITH input AS (
                SELECT * FROM unnest(
                    \(messages.map(\.sender)), \(messages.map(\.device)), \(messages.map(\.clientID)),
                    \(messages.map(\.recipient)), \(messages.map(\.senderPayload)), \(messages.map(\.recipientPayload))
                ) WITH ORDINALITY AS i (sender, device, client_id, recipient, sender_payload, recipient_payload, ord)
            ), known AS (
                SELECT i.ord, e.seq, e.at FROM input i
                CROSS JOIN LATERAL (
                    SELECT seq, at FROM inbox.events
                    WHERE user_id = i.sender AND device_id = i.device AND client_id = i.client_id
                    LIMIT 1
                ) e
            ), locked AS MATERIALIZED (
                SELECT h.user_id, h.seq FROM unnest(\(Self.owners(of: messages))) AS owner
                CROSS JOIN LATERAL (SELECT user_id, seq FROM inbox.heads WHERE user_id = owner FOR NO KEY UPDATE) h
            ), fresh AS (
                SELECT i.* FROM input i
                WHERE i.ord NOT IN (SELECT ord FROM known)
                  AND EXISTS (SELECT FROM locked WHERE user_id = i.sender)
                  AND EXISTS (SELECT FROM locked WHERE user_id = i.recipient)
            ), sides AS (
                SELECT ord, sender AS user_id, device AS device_id, client_id, sender_payload AS payload FROM fresh
                UNION ALL
                SELECT ord, recipient, NULL, NULL, recipient_payload FROM fresh
            ), numbered AS (
                SELECT s.*, l.seq + row_number() OVER (PARTITION BY s.user_id ORDER BY s.ord) AS seq
                FROM sides s JOIN locked l USING (user_id)
            ), advanced AS (
                UPDATE inbox.heads h SET seq = n.seq
                FROM (SELECT user_id, max(seq) AS seq FROM numbered GROUP BY user_id) n
                WHERE h.user_id = n.user_id
            ), stored AS (
                INSERT INTO inbox.events (user_id, seq, at, device_id, client_id, payload)
                SELECT user_id, seq, now(), device_id, client_id, payload FROM numbered
            )
            SELECT ord, seq, at, NULL::bigint FROM known
            UNION ALL
            SELECT s.ord, s.seq, now(), r.seq
            FROM numbered s JOIN numbered r USING (ord)
            WHERE s.client_id IS NOT NULL AND r.client_id IS NULL
            """)
        var results = [Appended?](repeating: nil, count: messages.count)
        for row in rows {
            let (ord, seq, at, recipientSeq) = try row.decode(Int64.self, Int64.self, Date.self, Int64?.self)
            results[Int(ord) - 1] = Appended(senderSeq: seq, at: at, recipientSeq: recipientSeq)
        }
        return results
    }

    /// Whose heads a batch moves, each once, in the order in which every writer locks them.
    private static func owners(of messages: [OutgoingMessage]) -> [Int64] {
        Set(messages.flatMap { [$0.sender, $0.recipient] }).sorted()
    }
}
