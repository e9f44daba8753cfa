// What the inbox tests share: a database with users who have logs, writers that run, and messages.
import Contract
import Foundation
import Inbox
import Postgres
import TestSupport
import Testing

/// Every suite that needs Postgres hangs under this one, so that they take turns.
@Suite(.serialized) enum InboxTests {}

struct World: Sendable {
    let database: TestDatabase
    let users: [Int64]

    var postgres: PostgresClient { database.client }

    /// What stands in a user's log: the text of each message, at its seq.
    func texts(of user: Int64) async throws -> [Int64: String] {
        let events = try await database.events(of: user)
        return Dictionary(uniqueKeysWithValues: events.map { ($0.seq, $0.message.body.text) })
    }

    func seqs(of user: Int64) async throws -> [Int64] {
        try await database.events(of: user).map(\.seq)
    }

    func head(of user: Int64) async throws -> Int64? {
        try await InboxStore(postgres: postgres).head(of: user)
    }

    /// Runs a test beside a writer, as one node has.
    func withWriter(
        queueMax: Int = 20_000, batchMax: Int = 1000, _ body: (InboxWriter) async throws -> Void
    ) async throws {
        let writer = InboxWriter(postgres: postgres, queueMax: queueMax, batchMax: batchMax, logger: .quiet)
        let running = Task { await writer.run() }
        do {
            try await body(writer)
        } catch {
            writer.finish()
            await running.value
            throw error
        }
        writer.finish()
        await running.value
    }
}

/// Users 0 to count - 1, each with an empty log.
func withInboxes(_ count: Int, _ body: (World) async throws -> Void) async throws {
    try await TestDatabase.with { database in
        let users = (1...Int64(count)).map { $0 * 1000 }
        for user in users { try await database.client.query("SELECT inbox.open(\(user))") }
        try await body(World(database: database, users: users))
    }
}

func message(
    _ text: String, from sender: Int64, to recipient: Int64, id: String, device: Int64? = nil
) throws -> OutgoingMessage {
    let event = Ringway_V1_Event.with {
        $0.message.from = sender
        $0.message.to = recipient
        $0.message.body.text = text
    }
    let payload: [UInt8] = try event.serializedBytes()
    return OutgoingMessage(
        sender: sender, device: device ?? sender + 1, clientID: id, recipient: recipient, senderPayload: payload,
        recipientPayload: payload)
}

extension InboxWriter {
    /// Offers a message and waits for what became of it.
    func append(_ message: OutgoingMessage) async -> Result<Appended, Failure> {
        await withCheckedContinuation { done in
            if !offer(message, { done.resume(returning: $0) }) { done.resume(returning: .failure(.busy)) }
        }
    }
}

extension Result {
    var failure: Failure? {
        if case .failure(let failure) = self { failure } else { nil }
    }
}
