// What the friendship tests share: the service on a fresh database with three users.
import Contract
import Friendship
import GRPCCore
import GRPCInProcessTransport
import ServiceKit
import TestSupport
import Testing

/// Every suite that needs Postgres hangs under this one, so that they take turns.
@Suite(.serialized) enum FriendshipServiceTests {}

struct World {
    let friendships: Ringway_V1_FriendshipService.Client<InProcessTransport.Client>
    let handler: FriendshipHandler
    let database: TestDatabase
    let ada: Int64
    let grace: Int64
    let mary: Int64

    func request(_ from: Int64, _ to: Int64, _ message: String = "") async throws -> Ringway_V1_FriendRequest {
        try await friendships.requestFriend(
            .with {
                $0.to = to
                $0.message = message
            }, metadata: .bearer(from))
    }

    func accept(_ id: Int64, by user: Int64) async throws -> Ringway_V1_FriendRequest {
        try await friendships.acceptFriendRequest(.with { $0.id = id }, metadata: .bearer(user))
    }

    func reject(_ id: Int64, by user: Int64) async throws -> Ringway_V1_FriendRequest {
        try await friendships.rejectFriendRequest(.with { $0.id = id }, metadata: .bearer(user))
    }

    func remove(_ friend: Int64, by user: Int64) async throws {
        _ = try await friendships.removeFriend(.with { $0.userID = friend }, metadata: .bearer(user))
    }

    func withdraw(_ id: Int64, by user: Int64) async throws -> Ringway_V1_FriendRequest {
        try await friendships.withdrawFriendRequest(.with { $0.id = id }, metadata: .bearer(user))
    }

    @discardableResult
    func block(_ peer: Int64, by user: Int64) async throws -> Ringway_V1_Block {
        try await friendships.blockUser(.with { $0.userID = peer }, metadata: .bearer(user))
    }

    func unblock(_ peer: Int64, by user: Int64) async throws {
        _ = try await friendships.unblockUser(.with { $0.userID = peer }, metadata: .bearer(user))
    }

    func makeGroup(_ name: String, of user: Int64) async throws -> Ringway_V1_FriendGroup {
        try await friendships.createFriendGroup(.with { $0.name = name }, metadata: .bearer(user))
    }

    func groups(of user: Int64) async throws -> [String] {
        try await friendships.listFriendGroups(.init(), metadata: .bearer(user)).groups.map(\.name)
    }

    func move(_ friend: Int64, to group: Int64, by user: Int64) async throws -> Ringway_V1_Friend {
        try await friendships.updateFriend(
            .with {
                $0.userID = friend
                $0.groupID = group
            }, metadata: .bearer(user))
    }

    func sync(_ user: Int64, since: Int64, limit: Int32 = 0) async throws -> Ringway_V1_ListRelationChangesResponse {
        try await friendships.listRelationChanges(
            .with {
                $0.sinceVersion = since
                $0.limit = limit
            }, metadata: .bearer(user))
    }

    func relation(of viewer: Int64, to owner: Int64) async throws -> Ringway_V1_Relation {
        try await friendships.getRelations(
            .with {
                $0.viewerID = viewer
                $0.ownerIds = [owner]
            }
        ).relations[0]
    }

    /// Makes a pending request old enough to have ended.
    func age(_ request: Int64) async throws {
        try await database.client.query(
            "UPDATE friendship.requests SET expires_at = now() - interval '1 second' WHERE id = \(request)")
    }

    /// What friendship.owners counts is what the tables hold, for every user.
    func expectCountsToAgree() async throws {
        let wrong = try await database.client.query(
            """
            SELECT user_id FROM friendship.owners o
            WHERE friends <> (SELECT count(*) FROM friendship.friends f WHERE f.user_id = o.user_id)
               OR sent <> (SELECT count(*) FROM friendship.requests r WHERE r.sender = o.user_id)
               OR received <> (SELECT count(*) FROM friendship.requests r WHERE r.recipient = o.user_id)
               OR groups <> (SELECT count(*) FROM friendship.groups g WHERE g.user_id = o.user_id)
               OR blocks <> (SELECT count(*) FROM friendship.blocks b WHERE b.user_id = o.user_id)
            """)
        #expect(wrong.isEmpty)
    }

    func befriend(_ one: Int64, _ other: Int64) async throws {
        _ = try await accept(request(one, other).id, by: other)
    }

    func friends(of user: Int64) async throws -> [Int64] {
        try await friendships.listFriends(.init(), metadata: .bearer(user)).friends.map(\.userID)
    }

    func pending(of user: Int64) async throws -> [Int64] {
        try await friendships.listFriendRequests(.init(), metadata: .bearer(user)).requests.map(\.id)
    }

    /// The friend events of a user's log; its sequence must have no gaps.
    func changes(of user: Int64) async throws -> [Ringway_V1_FriendEvent] {
        let events = try await database.events(of: user)
        #expect(events.map(\.seq) == (0..<events.count).map { Int64($0 + 1) })
        return events.map(\.friend)
    }
}

extension FriendshipLimits {
    /// Most tests ask more often than people do.
    static var none: FriendshipLimits {
        let none = RateLimit(0, per: .seconds(1))
        var limits = FriendshipLimits()
        (limits.requestLimit, limits.targetLimit, limits.changeLimit) = (none, none, none)
        return limits
    }
}

func withFriendships(
    _ settings: FriendshipSettings = .init(), limits: FriendshipLimits = .none,
    mayAdd: @escaping FriendshipHandler.Consent = { _, _ in true },
    _ body: (World) async throws -> Void
) async throws {
    try await TestDatabase.with { database in
        let (ada, grace) = (try await database.makeUser("ada"), try await database.makeUser("grace"))
        let mary = try await database.makeUser("mary")
        let handler = FriendshipHandler(postgres: database.client, settings: settings, limits: limits, mayAdd: mayAdd)
        try await withServer([handler]) { client in
            try await body(
                World(
                    friendships: .init(wrapping: client), handler: handler, database: database, ada: ada, grace: grace,
                    mary: mary))
        }
    }
}
