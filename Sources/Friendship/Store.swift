// Requests and friendships in Postgres (deploy/migrations/0004_friendship.sql, 0030_relations.sql).
//
// Locks: every change takes the lock of its two users first and their logs' heads last, so changes of one pair come one
// after the other, and nobody waits in a circle. Under that lock no constraint of the tables can fail for what the
// rules let through, so none is an answer: a violation is our own mistake.
import Contract
import Foundation
import Postgres
import ServiceKit
import SwiftProtobuf

struct FriendshipStore: Sendable {
    private static let columns: StaticString = "id, sender, recipient, message, state, created_at"

    let postgres: PostgresClient

    // MARK: Changes

    func propose(_ proposal: Proposal) async throws -> Ringway_V1_FriendRequest {
        try await postgres.transaction { connection in
            switch try await Self.standing(of: proposal, on: connection).outcome(of: proposal) {
            case .repeated(let request): request
            case .accept(let id): try await Self.answer(id, by: proposal.sender, with: .accepted, on: connection)
            case .ask: try await Self.ask(proposal, on: connection)
            }
        }
    }

    func answer(
        _ id: Int64, by recipient: Int64, with state: Ringway_V1_FriendRequest.State
    ) async throws -> Ringway_V1_FriendRequest {
        try await postgres.transaction { connection in
            try await Self.answer(id, by: recipient, with: state, on: connection)
        }
    }

    func remove(_ friend: Int64, of user: Int64) async throws {
        try await postgres.transaction { connection in
            let answers = try await connection.pipeline([
                Self.lock(user, friend),
                """
                DELETE FROM friendship.friends
                WHERE (user_id, friend_id) IN ((\(user), \(friend)), (\(friend), \(user)))
                """,
            ])
            guard answers[1].affectedRows > 0 else { throw FriendshipError.noSuchFriend }
            try await connection.query(Self.announcement(.removed, between: user, and: friend))
        }
    }

    private static func standing(
        of proposal: Proposal, on connection: PostgresConnection
    ) async throws -> Standing {
        let (sender, recipient) = (proposal.sender, proposal.recipient)
        let answers = try await connection.pipeline([
            lock(sender, recipient),
            """
            SELECT profile.user_exists(\(recipient)), EXISTS (
                SELECT FROM friendship.friends WHERE user_id = \(sender) AND friend_id = \(recipient))
            """,
            """
            SELECT \(unescaped: columns) FROM friendship.requests
            WHERE least(sender, recipient) = \(min(sender, recipient))
              AND greatest(sender, recipient) = \(max(sender, recipient))
              AND state = 1
            """,
        ])
        let (recipientExists, areFriends) = try answers[1][0].decode(Bool.self, Bool.self)
        return Standing(
            recipientExists: recipientExists, areFriends: areFriends, pending: try answers[2].first.map(request))
    }

    private static func ask(
        _ proposal: Proposal, on connection: PostgresConnection
    ) async throws -> Ringway_V1_FriendRequest {
        let rows = try await connection.query(
            """
            INSERT INTO friendship.requests (sender, recipient, message)
            VALUES (\(proposal.sender), \(proposal.recipient), \(proposal.message))
            RETURNING \(unescaped: columns)
            """)
        let request = try request(rows[0])
        try await connection.query(announcement(.requested, between: request.from, and: request.to, request))
        return request
    }

    private static func answer(
        _ id: Int64, by recipient: Int64, with state: Ringway_V1_FriendRequest.State, on connection: PostgresConnection
    ) async throws -> Ringway_V1_FriendRequest {
        // Who asked whom never changes, so it may be read before the lock is held; what may have changed is looked at
        // afterwards, by the update.
        let answers = try await connection.pipeline([
            """
            SELECT friendship.lock_users(ARRAY[sender, recipient]) FROM friendship.requests
            WHERE id = \(id) AND recipient = \(recipient)
            """,
            """
            UPDATE friendship.requests SET state = \(Int16(state.rawValue)), answered_at = now()
            WHERE id = \(id) AND recipient = \(recipient) AND state = 1
            RETURNING \(unescaped: columns)
            """,
        ])
        guard let row = answers[1].first else { throw FriendshipError.noSuchRequest }
        let request = try request(row)
        guard state == .accepted else {
            try await connection.query(announcement(.rejected, between: request.from, and: request.to, request))
            return request
        }
        _ = try await connection.pipeline([
            """
            INSERT INTO friendship.friends (user_id, friend_id)
            VALUES (\(request.from), \(request.to)), (\(request.to), \(request.from))
            """,
            announcement(.accepted, between: request.from, and: request.to, request),
        ])
        return request
    }

    private static func lock(_ one: Int64, _ other: Int64) -> PostgresQuery {
        "SELECT friendship.lock_users(ARRAY[\(one), \(other)]::bigint[])"
    }

    /// Tells both users, each about the other.
    private static func announcement(
        _ change: Ringway_V1_FriendEvent.Change, between one: Int64, and other: Int64,
        _ request: Ringway_V1_FriendRequest? = nil
    ) throws -> PostgresQuery {
        func event(about user: Int64) -> Ringway_V1_Event {
            .with {
                $0.friend.change = change
                $0.friend.userID = user
                if let request { $0.friend.request = request }
            }
        }
        return try .appendToInbox([one: event(about: other), other: event(about: one)])
    }

    // MARK: Lists

    func requests(of user: Int64, on page: Page) async throws -> [Ringway_V1_FriendRequest] {
        let before = page.cursor == 0 ? Int64.max : page.cursor
        // Each half comes in order from its own index and stops at the limit; an OR would read and sort everything.
        let rows = try await postgres.query(
            """
            (SELECT \(unescaped: Self.columns) FROM friendship.requests
             WHERE sender = \(user) AND state = 1 AND id < \(before) ORDER BY id DESC LIMIT \(page.fetched))
            UNION ALL
            (SELECT \(unescaped: Self.columns) FROM friendship.requests
             WHERE recipient = \(user) AND state = 1 AND id < \(before) ORDER BY id DESC LIMIT \(page.fetched))
            ORDER BY id DESC LIMIT \(page.fetched)
            """)
        return try rows.map(Self.request)
    }

    func friends(of user: Int64, on page: Page) async throws -> [Ringway_V1_Friend] {
        let rows = try await postgres.query(
            """
            SELECT friend_id, since FROM friendship.friends
            WHERE user_id = \(user) AND friend_id > \(page.cursor) ORDER BY friend_id LIMIT \(page.fetched)
            """)
        return try rows.map { row in
            let (friend, since) = try row.decode(Int64.self, Date.self)
            return .with {
                $0.userID = friend
                $0.since = Google_Protobuf_Timestamp(microsecondsOf: since)
            }
        }
    }

    /// Those of `peers` that are friends of `user`, in the order of their ids.
    func friends(of user: Int64, among peers: [Int64]) async throws -> [Int64] {
        let rows = try await postgres.query(
            """
            SELECT friend_id FROM friendship.friends
            WHERE user_id = \(user) AND friend_id = ANY(\(peers)) ORDER BY friend_id
            """)
        return try rows.map { try $0.decode(Int64.self) }
    }

    /// How each of `owners` stands to `viewer`, in their order.
    func relations(of viewer: Int64, to owners: [Int64]) async throws -> [Ringway_V1_Relation] {
        let rows = try await postgres.query(
            """
            SELECT o.id, f.user_id IS NOT NULL, coalesce(f.group_id, 0), b.user_id IS NOT NULL, v.user_id IS NOT NULL
            FROM unnest(\(owners)) WITH ORDINALITY AS o (id, place)
            LEFT JOIN friendship.friends f ON f.user_id = o.id AND f.friend_id = \(viewer)
            LEFT JOIN friendship.blocks b ON b.user_id = o.id AND b.peer_id = \(viewer)
            LEFT JOIN friendship.blocks v ON v.user_id = \(viewer) AND v.peer_id = o.id
            ORDER BY o.place
            """)
        return try rows.map { row in
            let (owner, isFriend, group, ownerBlocks, viewerBlocks) = try row.decode(
                Int64.self, Bool.self, Int64.self, Bool.self, Bool.self)
            return .with {
                $0.ownerID = owner
                $0.friend = isFriend
                $0.groupID = group
                $0.ownerBlocks = ownerBlocks
                $0.viewerBlocks = viewerBlocks
            }
        }
    }

    private static func request(_ row: PostgresRow) throws -> Ringway_V1_FriendRequest {
        let (id, sender, recipient, message, state, createdAt) = try row.decode(
            Int64.self, Int64.self, Int64.self, String.self, Int.self, Date.self)
        return .with {
            $0.id = id
            $0.from = sender
            $0.to = recipient
            $0.message = message
            $0.state = Ringway_V1_FriendRequest.State(rawValue: state) ?? .unspecified
            $0.createdAt = Google_Protobuf_Timestamp(microsecondsOf: createdAt)
        }
    }
}
