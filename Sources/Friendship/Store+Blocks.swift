// Blocks. The blocked one sees what anybody's removal, withdrawal or rejection looks like, and nothing of the block: no
// event, no version, and from then on answers as if the other did not exist.
import Contract
import Postgres
import ServiceKit

extension FriendshipStore {
    func block(_ peer: Int64, by user: Int64) async throws -> Ringway_V1_Block {
        try await change(of: user, peer) { connection in
            let answers = try await connection.pipeline([
                Self.lockKnown(user, peer),
                "SELECT peer_id, since FROM friendship.blocks WHERE user_id = \(user) AND peer_id = \(peer)",
                "SELECT blocks FROM friendship.owners WHERE user_id = \(user)",
            ])
            if let row = answers[1].first { return try Self.block(row) }
            guard try answers[2][0].decode(Int.self) < settings.blocksMax else {
                throw FriendshipError.limit("you have blocked \(settings.blocksMax) users, the most there may be")
            }
            try await Self.sever(user, from: peer, on: connection)
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
              AND state = 1
            """)
        guard let row = pending.first else { return }
        let request = try request(row)
        try await end(request, as: request.from == user ? .withdrawn : .rejected, on: connection)
    }
}
