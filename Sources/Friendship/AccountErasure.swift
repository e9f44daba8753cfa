// What Friendship does when an account has ended: forgets its friendships, requests, groups and blocks, writes that down
// for those on the other side, and tells the friends. A block that someone else has put on the user stays theirs. A
// second time it finds nothing.
//
// Locks like every other change: the users whose lists it touches first, the logs' heads last.
import Contract
import Outbox
import Postgres
import ServiceKit

public let friendshipErasure = OutboxConsumer("friendship") { entry, connection in
    guard entry.topic == AccountDeleted.topic else { return }
    let user = entry.key
    try await connection.query(
        """
        SELECT friendship.lock_users(array_agg(peer)) FROM (
            SELECT \(user)::bigint AS peer
            UNION SELECT friend_id FROM friendship.friends WHERE user_id = \(user)
            UNION SELECT recipient FROM friendship.requests WHERE sender = \(user) AND state = 1
            UNION SELECT sender FROM friendship.requests WHERE recipient = \(user) AND state = 1
        ) AS peers
        """)
    let friends = try await connection.query(
        """
        DELETE FROM friendship.friends AS theirs USING friendship.friends AS ours
        WHERE ours.user_id = \(user) AND theirs.user_id = ours.friend_id AND theirs.friend_id = \(user)
        RETURNING theirs.user_id
        """
    ).map { try $0.decode(Int64.self) }
    let askers = try await connection.query(
        "DELETE FROM friendship.requests WHERE recipient = \(user) AND state = 1 RETURNING sender"
    ).map { try $0.decode(Int64.self) }
    let asked = try await connection.query(
        "DELETE FROM friendship.requests WHERE sender = \(user) AND state = 1 RETURNING recipient"
    ).map { try $0.decode(Int64.self) }
    _ = try await connection.pipeline([
        "UPDATE friendship.owners SET friends = greatest(friends - 1, 0) WHERE user_id = ANY (\(friends))",
        "UPDATE friendship.owners SET sent = greatest(sent - 1, 0) WHERE user_id = ANY (\(askers))",
        "UPDATE friendship.owners SET received = greatest(received - 1, 0) WHERE user_id = ANY (\(asked))",
        "SELECT friendship.note(peer, 1::smallint, ARRAY[\(user)]::bigint[]) FROM unnest(\(friends)) AS t (peer)",
        "SELECT friendship.note(peer, 3::smallint, ARRAY[\(user)]::bigint[]) FROM unnest(\(askers + asked)) AS t (peer)",
        "DELETE FROM friendship.requests WHERE sender = \(user) OR recipient = \(user)",
        "DELETE FROM friendship.friends WHERE user_id = \(user)",
        "DELETE FROM friendship.blocks WHERE user_id = \(user)",
        "DELETE FROM friendship.groups WHERE user_id = \(user)",
        "DELETE FROM friendship.changes WHERE user_id = \(user)",
        "DELETE FROM friendship.owners WHERE user_id = \(user)",
    ])
    guard !friends.isEmpty else { return }
    let event = Ringway_V1_Event.with { ($0.friend.change, $0.friend.userID) = (.removed, user) }
    try await connection.query(.appendToInbox(Dictionary(friends.map { ($0, event) }) { first, _ in first }))
}
