// What Friendship does when an account has ended: ends its friendships and requests, writes that down for those on the other
// side, and tells the friends, so many peers at a time; then forgets its own lists. A block that someone else has put on
// the user stays theirs. A second time it finds nothing.
//
// Locks like every other change: the users whose lists it touches first, the logs' heads last. The profile is gone by now,
// and who asks for friendship looks for it under the lock: nobody new comes. Who was asked may still say yes, until their
// turn comes.
import Contract
import Outbox
import Postgres
import ServiceKit

/// So many users are locked at a time, and one statement stays far below its deadline.
private let peersPerStep = 500

public let friendshipErasure = OutboxConsumer("friendship") { entry, connection in
    guard entry.topic == AccountDeleted.topic else { return .done }
    let user = entry.key
    let peers = try await connection.query(Queries.tied(to: user, limit: peersPerStep)).map { try $0.decode(Int64.self) }
    try await connection.query("SELECT friendship.lock_users(\(peers + [user]))")
    guard peers.isEmpty else {
        try await sever(user, from: peers, on: connection)
        return .unfinished
    }
    // Looked at once more under the lock.
    guard try await connection.query(Queries.tied(to: user, limit: 1)).isEmpty else { return .unfinished }
    _ = try await connection.pipeline([
        "DELETE FROM friendship.blocks WHERE user_id = \(user)",
        "DELETE FROM friendship.groups WHERE user_id = \(user)",
        "DELETE FROM friendship.changes WHERE user_id = \(user)",
        "DELETE FROM friendship.owners WHERE user_id = \(user)",
    ])
    return .done
}

/// Ends what is between a user who is gone and these, all of them locked.
private func sever(_ user: Int64, from peers: [Int64], on connection: PostgresConnection) async throws {
    let answers = try await connection.pipeline([
        "DELETE FROM friendship.friends WHERE user_id = ANY (\(peers)) AND friend_id = \(user) RETURNING user_id",
        "DELETE FROM friendship.friends WHERE user_id = \(user) AND friend_id = ANY (\(peers))",
        """
        DELETE FROM friendship.requests WHERE recipient = \(user) AND sender = ANY (\(peers)) RETURNING sender
        """,
        """
        DELETE FROM friendship.requests WHERE sender = \(user) AND recipient = ANY (\(peers)) RETURNING recipient
        """,
    ])
    let (friends, askers, asked) = (try ids(answers[0]), try ids(answers[2]), try ids(answers[3]))
    _ = try await connection.pipeline([
        "UPDATE friendship.owners SET friends = greatest(friends - 1, 0) WHERE user_id = ANY (\(friends))",
        "UPDATE friendship.owners SET sent = greatest(sent - 1, 0) WHERE user_id = ANY (\(askers))",
        "UPDATE friendship.owners SET received = greatest(received - 1, 0) WHERE user_id = ANY (\(asked))",
        "SELECT friendship.note(peer, 1::smallint, ARRAY[\(user)]::bigint[]) FROM unnest(\(friends)) AS t (peer)",
        "SELECT friendship.note(peer, 3::smallint, ARRAY[\(user)]::bigint[]) FROM unnest(\(askers + asked)) AS t (peer)",
    ])
    guard !friends.isEmpty else { return }
    let event = Ringway_V1_Event.with { ($0.friend.change, $0.friend.userID) = (.removed, user) }
    try await connection.query(.appendToInbox(Dictionary(friends.map { ($0, event) }) { first, _ in first }))
}

private func ids(_ rows: PostgresRows) throws -> [Int64] {
    try rows.map { try $0.decode(Int64.self) }
}
