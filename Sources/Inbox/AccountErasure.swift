// What Inbox does when an account has ended: forgets the log, so many events at a time. What its owner sent stays in the logs
// of those who received it, because it is theirs, too. A second time it finds nothing.
import Outbox

/// One statement stays far below its deadline, however long the log is.
private let eventsPerStep = 10_000

public let inboxErasure = OutboxConsumer("inbox") { entry, connection in
    guard entry.topic == AccountDeleted.topic else { return .done }
    let user = entry.key
    let answers = try await connection.pipeline([
        // Whoever appends holds the head, so nothing comes between.
        "SELECT FROM inbox.heads WHERE user_id = \(user) FOR UPDATE",
        """
        DELETE FROM inbox.events WHERE user_id = \(user) AND seq <= (
            SELECT max(seq) FROM (
                SELECT seq FROM inbox.events WHERE user_id = \(user) ORDER BY seq LIMIT \(eventsPerStep)
            ) AS oldest)
        """,
    ])
    guard answers[1].affectedRows < eventsPerStep else { return .unfinished }
    _ = try await connection.pipeline([
        "DELETE FROM inbox.cursors WHERE user_id = \(user)",
        "DELETE FROM inbox.heads WHERE user_id = \(user)",
    ])
    return .done
}
