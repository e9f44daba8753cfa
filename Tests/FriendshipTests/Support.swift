// What the friendship tests share: the service on a fresh database with three users.
import Contract
import Friendship
import GRPCCore
import GRPCInProcessTransport
import TestSupport
import Testing

/// Every suite that needs Postgres hangs under this one, so that they take turns.
@Suite(.serialized) enum FriendshipServiceTests {}

struct World {
    let friendships: Ringway_V1_FriendshipService.Client<InProcessTransport.Client>
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

func withFriendships(_ body: (World) async throws -> Void) async throws {
    try await TestDatabase.with { database in
        let (ada, grace) = (try await database.makeUser("ada"), try await database.makeUser("grace"))
        let mary = try await database.makeUser("mary")
        try await withServer([FriendshipHandler(postgres: database.client)]) { client in
            try await body(
                World(friendships: .init(wrapping: client), database: database, ada: ada, grace: grace, mary: mary))
        }
    }
}

/// Runs all at the same time; the status of each in their order, nil for success.
func together(_ calls: [@Sendable () async throws -> Void]) async -> [RPCError.Code?] {
    await withTaskGroup(of: (Int, RPCError.Code?).self) { group in
        for (index, call) in calls.enumerated() {
            group.addTask { (index, await status(call)?.code) }
        }
        return await group.reduce(into: [RPCError.Code?](repeating: nil, count: calls.count)) { $0[$1.0] = $1.1 }
    }
}
