// What Profile does when an account has ended: forgets the profile, the avatar, when the user was last seen, and what the
// user had decided. A second time it finds nothing.
import Outbox

public let profileErasure = OutboxConsumer("profile") { entry, connection in
    guard entry.topic == AccountDeleted.topic else { return .done }
    try await connection.query("SELECT profile.erase(\(entry.key))")
    return .done
}
