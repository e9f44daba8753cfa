// What Inbox does when an account has ended: forgets the log. What its owner sent stays in the logs of those who received
// it, because it is theirs, too. A second time it finds nothing.
import Outbox

public let inboxErasure = OutboxConsumer("inbox") { entry, connection in
    guard entry.topic == AccountDeleted.topic else { return }
    _ = try await connection.pipeline([
        // Whoever appends holds the head, so nothing comes between.
        "SELECT FROM inbox.heads WHERE user_id = \(entry.key) FOR UPDATE",
        "DELETE FROM inbox.events WHERE user_id = \(entry.key)",
        "DELETE FROM inbox.cursors WHERE user_id = \(entry.key)",
        "DELETE FROM inbox.heads WHERE user_id = \(entry.key)",
    ])
}
