// A user's own friend groups. They are few, so every change tells all of them, in their order.
import Contract
import Postgres
import ServiceKit

extension FriendshipStore {
    func createGroup(_ name: String, of user: Int64) async throws -> Ringway_V1_FriendGroup {
        try await changeGroups(of: user, by: 1) { connection, groups in
            guard groups.count < settings.groupsMax else {
                throw FriendshipError.limit("you have \(settings.groupsMax) friend groups, the most there may be")
            }
            guard !groups.contains(where: { $0.name == name }) else { throw FriendshipError.groupNameTaken }
            let rows = try await connection.query(
                """
                INSERT INTO friendship.groups (user_id, name, position)
                VALUES (\(user), \(name), \(Int64(groups.count))) RETURNING id, name
                """)
            return try Self.group(rows[0])
        }
    }

    func renameGroup(_ id: Int64, to name: String, of user: Int64) async throws -> Ringway_V1_FriendGroup {
        try await changeGroups(of: user, by: 0) { connection, groups in
            guard let group = groups.first(where: { $0.id == id }) else { throw FriendshipError.noSuchGroup }
            guard group.name != name else { return group }
            guard !groups.contains(where: { $0.name == name }) else { throw FriendshipError.groupNameTaken }
            let rows = try await connection.query(
                """
                UPDATE friendship.groups SET name = \(name) WHERE user_id = \(user) AND id = \(id) RETURNING id, name
                """)
            return try Self.group(rows[0])
        }
    }

    func reorderGroups(_ ids: [Int64], of user: Int64) async throws -> [Ringway_V1_FriendGroup] {
        guard ids.count <= 2 * settings.groupsMax else { throw Self.notEachOnce }
        return try await changeGroups(of: user, by: 0) { connection, groups in
            guard groups.map(\.id).sorted() == ids.sorted() else { throw Self.notEachOnce }
            let answers = try await connection.pipeline([
                """
                UPDATE friendship.groups AS g SET position = o.place - 1
                FROM unnest(\(ids)) WITH ORDINALITY AS o (id, place)
                WHERE g.user_id = \(user) AND g.id = o.id
                """,
                Queries.groups(of: user),
            ])
            return try answers[1].map(Self.group)
        }
    }

    func deleteGroup(_ id: Int64, of user: Int64) async throws {
        try await changeGroups(of: user, by: -1) { connection, groups in
            guard let place = groups.firstIndex(where: { $0.id == id }) else { throw FriendshipError.noSuchGroup }
            let answers = try await connection.pipeline([
                "DELETE FROM friendship.groups WHERE user_id = \(user) AND id = \(id)",
                """
                UPDATE friendship.groups SET position = position - 1
                WHERE user_id = \(user) AND position > \(Int64(place))
                """,
                """
                UPDATE friendship.friends SET group_id = 0 WHERE user_id = \(user) AND group_id = \(id)
                RETURNING friend_id
                """,
            ])
            let moved = try answers[2].map { try $0.decode(Int64.self) }
            if !moved.isEmpty { try await connection.query(Change.note(.friend, of: user, moved)) }
        }
    }

    private static let notEachOnce = FriendshipError.invalid("ids", "must be each of your friend groups once")

    /// Changes groups under the user's lock, then counts, versions and tells them, if they are others by then.
    private func changeGroups<Result: Sendable>(
        of user: Int64, by difference: Int64,
        _ body: @Sendable (PostgresConnection, [Ringway_V1_FriendGroup]) async throws -> Result
    ) async throws -> Result {
        try await change(of: user) { connection in
            let before = try await connection.pipeline([Change.lock(user), Queries.groups(of: user)])[1].map(Self.group)
            let result = try await body(connection, before)
            let after = try await connection.query(Queries.groups(of: user)).map(Self.group)
            guard after != before else { return result }
            _ = try await connection.pipeline([
                Change.countGroups(difference, of: user),
                Change.tell(.groupsChanged, to: user) { $0.groups = after },
            ])
            return result
        }
    }
}
