// The stores of a node's services with a cache of their own, over a Postgres and perhaps a Redis that nodes share; what the
// tests of several nodes stand on.
import Contract
import Foundation
import GRPCCore
import Postgres
import Redis
import TestSupport
import Testing

@testable import Cache
@testable import Friendship
@testable import Profile

/// Where nodes keep facts.
enum Place: CaseIterable {
    case memory
    /// In memory, and behind that in one Redis.
    case both
    /// In one Redis only.
    case redis
}

/// The stores of one node.
struct Node: Sendable {
    let cache: Cache
    let profiles: ProfileStore
    let settings: SettingsStore
    let friends: FriendshipStore

    init(_ postgres: PostgresClient, _ cache: Cache) {
        self.cache = cache
        profiles = ProfileStore(postgres: postgres, cache: cache)
        settings = SettingsStore(postgres: postgres, cache: cache)
        friends = FriendshipStore(postgres: postgres, settings: .init(), cache: cache)
    }

    static func cache(in place: Place, _ redis: TestRedis?) throws -> Cache {
        let kinds = profileCacheKinds + friendshipCacheKinds
        guard place != .memory, let redis else { return .inMemory(kinds: kinds) }
        return .shared(
            in: try RedisConfiguration(url: redis.url), kinds: kinds, bytesMax: place == .redis ? 0 : 64 << 20,
            logger: .quiet)
    }

    /// The profile's version with the new name.
    @discardableResult
    func rename(_ user: Int64, _ name: String) async throws -> Int64 {
        let change = try ProfileChange(.with { $0.nickname = name })
        return try await profiles.update(change, of: user).version
    }

    func nickname(of user: Int64) async throws -> String {
        try await profiles.profile(of: user).value.nickname
    }

    func befriend(_ one: Int64, _ other: Int64) async throws {
        let proposal = try Proposal(from: one, to: other, message: "")
        let request = try await friends.propose(proposal) { _ in true }
        _ = try await friends.accept(request.id, by: other)
    }

    func friends(of user: Int64) async throws -> [Int64] {
        let page = try Page(limit: 0, default: FriendshipStore.usualPage, maximum: 1000, cursor: 0, named: "after")
        return try await friends.cachedFriends(of: user, on: page)?.message().friends.map(\.userID) ?? []
    }

    /// The beginning of the user's requests, as a client is answered.
    func requests(of user: Int64, limit: Int32 = 200) async throws -> Ringway_V1_ListFriendRequestsResponse {
        let page = try Page(limit: limit, default: 50, maximum: FirstRequests.limit, cursor: 0, named: "before")
        let context = ServerContext(
            descriptor: Ringway_V1_FriendshipService.Method.ListFriendRequests.descriptor, remotePeer: "", localPeer: "",
            cancellation: .init())
        return try await friends.cachedRequests(of: user, on: page)?.answer(page, in: context) ?? .init()
    }

    /// In the end it answers with the newest of what was written, of every user.
    func becomesCurrent(with database: TestDatabase, about users: [Int64]) async throws {
        for user in users {
            try await eventually { try await profiles.profile(of: user).version == database.revision(of: user) }
        }
    }

    /// Facts of the kind that were answered without the database.
    func answered(_ kind: String) -> Int {
        let statistics = cache.statistics[kind, default: .init()]
        return statistics.hits + statistics.sharedHits
    }
}

func withNodes(
    _ place: Place = .memory, _ body: @Sendable (Node, Node, TestDatabase, TestRedis?) async throws -> Void
) async throws {
    if place == .memory { return try await withNodes(place, nil, body) }
    try await TestRedis.with { try await withNodes(place, $0, body) }
}

private func withNodes(
    _ place: Place, _ redis: TestRedis?, _ body: @Sendable (Node, Node, TestDatabase, TestRedis?) async throws -> Void
) async throws {
    try await TestDatabase.with { database in
        let one = Node(database.client, try Node.cache(in: place, redis))
        let other = Node(database.client, try Node.cache(in: place, redis))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in [one, other] { group.addTask { await node.cache.follow(database.client) } }
            try await eventually { [one, other].allSatisfy { $0.cache.hears && $0.cache.complaint == nil } }
            try await body(one, other, database, redis)
            group.cancelAll()
        }
    }
}

extension TestDatabase {
    func makeUsers(_ count: Int) async throws -> [Int64] {
        var users: [Int64] = []
        for number in 0..<count { users.append(try await makeUser("user\(number)")) }
        return users
    }

    func revision(of user: Int64) async throws -> Int64 {
        try await client.query("SELECT revision FROM profile.profiles WHERE user_id = \(user)")[0].decode(Int64.self)
    }
}
