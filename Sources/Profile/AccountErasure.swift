// What Profile does when an account has ended: forgets the profile. A second time it finds nothing.
import Outbox

public let profileErasure = OutboxConsumer("profile") { entry, connection in
    guard entry.topic == AccountDeleted.topic else { return }
    try await connection.query("DELETE FROM profile.profiles WHERE user_id = \(entry.key)")
}
