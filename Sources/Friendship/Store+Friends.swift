// A friendship that exists: its end, and what each side makes of it for itself.
import Contract
import Postgres
import ServiceKit

extension FriendshipStore {
    func remove(_ friend: Int64, of user: Int64) async throws {
        // Looked at before anything is locked: who is no friend costs the same, whether they are anybody or not.
        let found = try await postgres.query(
            "SELECT FROM friendship.friends WHERE user_id = \(user) AND friend_id = \(friend)")
        guard !found.isEmpty else { throw FriendshipError.noSuchFriend }
        try await change(of: user, friend) { connection in
            // Only the caller's own row is made: who was a friend a moment ago may be nobody by now.
            try await connection.query(Self.lockKnown(user, friend))
            guard try await Self.unfriend(user, friend, on: connection) else { throw FriendshipError.noSuchFriend }
        }
    }

    func update(_ change: FriendChange, of user: Int64) async throws -> Ringway_V1_Friend {
        try await self.change(of: user) { connection in
            let answers = try await connection.pipeline([
                Change.lock(user),
                """
                SELECT friend_id, since, group_id, remark FROM friendship.friends
                WHERE user_id = \(user) AND friend_id = \(change.friend)
                """,
                "SELECT FROM friendship.groups WHERE user_id = \(user) AND id = \(change.group ?? 0)",
            ])
            guard let row = answers[1].first else { throw FriendshipError.noSuchFriend }
            if let group = change.group, group != 0, answers[2].isEmpty { throw FriendshipError.noSuchGroup }
            let before = try Self.friend(row)
            let after = before.changed(by: change)
            if after != before { try await Self.replace(before, by: after, of: user, on: connection) }
            return after
        }
    }

    private static func replace(
        _ before: Ringway_V1_Friend, by after: Ringway_V1_Friend, of user: Int64, on connection: PostgresConnection
    ) async throws {
        var queries: [PostgresQuery] = [
            """
            UPDATE friendship.friends SET group_id = \(after.groupID), remark = \(after.remark)
            WHERE user_id = \(user) AND friend_id = \(after.userID)
            """,
            Change.note(.friend, of: user, [after.userID]),
        ]
        if after.groupID != before.groupID {
            queries.append(try Change.tell(.moved, to: user, about: after.userID) { $0.friend = after })
        }
        if after.remark != before.remark {
            queries.append(try Change.tell(.remarked, to: user, about: after.userID) { $0.friend = after })
        }
        _ = try await connection.pipeline(queries)
    }

    /// Ends the friendship of two locked users and tells both; false if there is none.
    static func unfriend(_ user: Int64, _ friend: Int64, on connection: PostgresConnection) async throws -> Bool {
        let deleted = try await connection.query(
            """
            DELETE FROM friendship.friends
            WHERE (user_id, friend_id) IN ((\(user), \(friend)), (\(friend), \(user)))
            """)
        guard deleted.affectedRows > 0 else { return false }
        _ = try await connection.pipeline([
            Change.countFriends(-1, user, friend),
            Change.note(.friend, between: user, and: friend),
            Change.tell(.removed, between: user, and: friend),
        ])
        return true
    }

    /// Locks a user, and another one if they have ever had to do with anybody. Who has not is no one's friend; an id that
    /// nobody has must not leave a row behind.
    static func lockKnown(_ user: Int64, _ other: Int64) -> PostgresQuery {
        """
        SELECT friendship.lock_users(
            ARRAY[\(user)]::bigint[] || ARRAY(SELECT user_id FROM friendship.owners WHERE user_id = \(other)))
        """
    }
}

extension Ringway_V1_Friend {
    fileprivate func changed(by change: FriendChange) -> Ringway_V1_Friend {
        var friend = self
        if let group = change.group { friend.groupID = group }
        if let remark = change.remark { friend.remark = remark }
        return friend
    }
}
