// What Inbox does when an account or devices have ended. Of an account it forgets the log, so many events at a time; what its
// owner sent stays in the logs of those who received it, because it is theirs, too. Of a device it forgets how far it has
// acknowledged the log. A second time it finds nothing.
import Outbox
import Postgres

/// One statement stays far below its deadline, however long the log is.
private let eventsPerStep = 10_000

public let inboxErasure = OutboxConsumer("inbox") { entry, connection in
    switch entry.topic {
    case AccountDeleted.topic: try await forget(entry.key, on: connection)
    case DevicesForgotten.topic: try await forget(DevicesForgotten(payload: entry.payload), on: connection)
    default: .done
    }
}

private func forget(_ user: Int64, on connection: PostgresConnection) async throws -> OutboxProgress {
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

private func forget(_ devices: DevicesForgotten?, on connection: PostgresConnection) async throws -> OutboxProgress {
    guard let devices else { return .done }
    _ = try await connection.pipeline(
        zip(devices.users, devices.devices).map { user, device in
            "DELETE FROM inbox.cursors WHERE user_id = \(user) AND device_id = \(device)"
        })
    return .done
}
