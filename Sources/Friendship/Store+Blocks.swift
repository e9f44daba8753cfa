// Blocks. The blocked one sees what anybody's removal, withdrawal or rejection looks like, and nothing of the block: no
// event, no version, and from then on answers as if the other did not exist.
import Contract
import Postgres
import ServiceKit

extension FriendshipStore {
    /// Of an id that nobody has like of a stranger's, and without touching either: only whom something ties to the user is
    /// locked beside them. Every change between two users holds the locks of both, so one is enough to see that there is
    /// nothing.
    func block(_ peer: Int64, by user: Int64) async throws -> Ringway_V1_Block {
        let apart = try await change(of: user, peer) { connection in
            try await block(peer, by: user, holding: Change.lock(user), on: connection) { isTied in !isTied }
        }
        if let apart { return apart }
        let tied = try await change(of: user, peer) { connection in
            try await block(peer, by: user, holding: Self.lockKnown(user, peer), on: connection) { isTied in
                if isTied { try await Self.sever(user, from: peer, on: connection) }
                return true
            }
        }
        guard let tied else { throw FriendshipError.noSuchBlock }
        return tied
    }

    /// - Parameter goesOn: told whether something ties the two. False: nothing has changed, and the answer is nil.
    private func block(
        _ peer: Int64, by user: Int64, holding lock: PostgresQuery, on connection: PostgresConnection,
        goesOn: (_ isTied: Bool) async throws -> Bool
    ) async throws -> Ringway_V1_Block? {
        let answers = try await connection.pipeline([
            lock,
            "SELECT peer_id, since FROM friendship.blocks WHERE user_id = \(user) AND peer_id = \(peer)",
            "SELECT blocks FROM friendship.owners WHERE user_id = \(user)",
            Queries.tie(user, peer),
        ])
        if let row = answers[1].first { return try Self.block(row) }
        guard try answers[2][0].decode(Int.self) < settings.blocksMax else {
            throw FriendshipError.limit("you have blocked \(settings.blocksMax) users, the most there may be")
        }
        guard try await goesOn(answers[3][0].decode(Bool.self)) else { return nil }
        let rows = try await connection.pipeline([
            """
            INSERT INTO friendship.blocks (user_id, peer_id) VALUES (\(user), \(peer)) RETURNING peer_id, since
            """,
            Change.countBlocks(1, of: user),
            Change.note(.block, of: user, [peer]),
            Change.forgetPermissions(of: peer),
            Change.tell(.blocked, to: user, about: peer),
        ])
        return try Self.block(rows[0][0])
    }

    func unblock(_ peer: Int64, by user: Int64) async throws {
        try await change(of: user, peer) { connection in
            let answers = try await connection.pipeline([
                Change.lock(user),
                "DELETE FROM friendship.blocks WHERE user_id = \(user) AND peer_id = \(peer)",
            ])
            guard answers[1].affectedRows > 0 else { throw FriendshipError.noSuchBlock }
            _ = try await connection.pipeline([
                Change.countBlocks(-1, of: user),
                Change.note(.block, of: user, [peer]),
                Change.forgetPermissions(of: peer),
                Change.tell(.unblocked, to: user, about: peer),
            ])
        }
    }

    /// Ends what is between two locked users.
    private static func sever(_ user: Int64, from peer: Int64, on connection: PostgresConnection) async throws {
        if try await unfriend(user, peer, on: connection) { return }
        let pending = try await connection.query(
            """
            SELECT \(unescaped: requestColumns) FROM friendship.requests
            WHERE least(sender, recipient) = \(min(user, peer)) AND greatest(sender, recipient) = \(max(user, peer))
            """)
        guard let row = pending.first else { return }
        let request = try request(row)
        try await end(request, as: request.from == user ? .withdrawn : .rejected, on: connection)
    }
}
