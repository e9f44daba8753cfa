// The services' stores through caches of their own, as on two nodes, over one Postgres: what a node has written it reads
// at once, what others have written it reads soon, and a lost connection to Postgres costs time and no answer.
import Contract
import Foundation
import Postgres
import TestSupport
import Testing

@testable import Cache
@testable import Friendship
@testable import Profile

/// The stores of one node.
private struct Node: Sendable {
    let cache: Cache
    let profiles: ProfileStore
    let settings: SettingsStore
    let friends: FriendshipStore

    init(_ postgres: PostgresClient) {
        cache = .inMemory(kinds: profileCacheKinds + friendshipCacheKinds)
        profiles = ProfileStore(postgres: postgres, cache: cache)
        settings = SettingsStore(postgres: postgres, cache: cache)
        friends = FriendshipStore(postgres: postgres, settings: .init(), cache: cache)
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
        return try await friends.friends(of: user, on: page).value.map(\.userID)
    }
}

private func withNodes(_ body: @Sendable (Node, Node, TestDatabase) async throws -> Void) async throws {
    try await TestDatabase.with { database in
        let (one, other) = (Node(database.client), Node(database.client))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in [one, other] { group.addTask { await node.cache.follow(database.client) } }
            try await eventually { one.cache.hears && other.cache.hears }
            try await body(one, other, database)
            group.cancelAll()
        }
    }
}

/// Ten seconds are far beyond any notification's way; a test that needs them fails.
private func eventually(_ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "it never came true")
        try await Task.sleep(for: .milliseconds(2))
    }
}

@Suite(.serialized) struct NodesTests {
    /// INTEGRATION_SEED repeats a run's choices, though not the order in which the tasks meet.
    @Test func random_writes_and_reads__never_older_than_the_nodes_own_write_and_finally_equal() async throws {
        let seed = ProcessInfo.processInfo.environment["INTEGRATION_SEED"].flatMap(UInt64.init) ?? .random(in: 0...(.max))
        print("seed \(seed)")
        try await withNodes { one, other, database in
            var users: [Int64] = []
            for number in 0..<3 { users.append(try await database.makeUser("user\(number)")) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (lane, node) in [one, other, one, other].enumerated() {
                    let users = users
                    group.addTask {
                        var random = Lane(state: seed &+ UInt64(lane))
                        // The versions that this lane has written.
                        var floor: [Int64: Int64] = [:]
                        for step in 0..<150 {
                            let user = users[Int.random(in: 0..<users.count, using: &random)]
                            if Int.random(in: 0..<4, using: &random) == 0 {
                                floor[user] = try await node.rename(user, "lane \(lane) step \(step)")
                            } else {
                                let seen = try await node.profiles.profile(of: user).value.version
                                #expect(seen >= floor[user, default: 0])
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            for node in [one, other] {
                for user in users {
                    try await eventually {
                        try await node.profiles.profile(of: user).version == database.revision(of: user)
                    }
                }
                #expect(node.cache.statistics["profile", default: .init()].hits > 0)
            }
        }
    }

    @Test func own_write_is_read_at_once_and_elsewhere_soon() async throws {
        try await withNodes { one, other, database in
            let ada = try await database.makeUser("ada")
            for round in 0..<50 {
                _ = try await (one.nickname(of: ada), other.nickname(of: ada))
                try await one.rename(ada, "name \(round)")
                #expect(try await one.nickname(of: ada) == "name \(round)")
                try await eventually { try await other.nickname(of: ada) == "name \(round)" }
            }
        }
    }

    @Test func settings_keep_all_they_hold_in_the_cache() async throws {
        try await withNodes { one, other, database in
            let ada = try await database.makeUser("ada")
            #expect(try await one.settings.settings(of: ada).version == 1)
            let request = Ringway_V1_UpdateSettingsRequest.with {
                $0.privacy.find.kind = .group
                $0.privacy.find.groupID = 77
                $0.privacy.presence.kind = .nobody
                $0.push.quietHours = .with { ($0.start, $0.end, $0.timeZone) = ("22:00", "07:00", "Europe/Berlin") }
            }
            let written = try await one.settings.update(SettingsChange(request), of: ada)
            for node in [one, other] {
                try await eventually { try await node.settings.settings(of: ada).version == 2 }
                let fresh = try await SettingsStore(postgres: database.client).settings(of: ada).value
                let cached = try await node.settings.settings(of: ada).value
                #expect(cached.message(since: 0) == fresh.message(since: 0))
                #expect(cached.message(since: 1) == fresh.message(since: 1))
                for field in PrivacyField.allCases { #expect(cached.privacy[field] == fresh.privacy[field]) }
            }
            #expect(written.version == 2)
            // The last notification ends what was read before it; after that there are hits.
            try await eventually {
                _ = try await one.settings.settings(of: ada)
                return one.cache.statistics["settings", default: .init()].hits > 0
            }
        }
    }

    @Test func users_who_come_and_go_are_seen_to() async throws {
        try await withNodes { one, other, database in
            let ada = try await database.makeUser("ada")
            let unborn = ada + 1_000_000_000
            for node in [one, other] {
                #expect(try await node.profiles.profiles(of: [unborn]).isEmpty)
                #expect(try await node.profiles.profiles(of: [unborn, ada]).count == 1)
                #expect(node.cache.statistics["profile", default: .init()].hits == 1)
            }
            try await database.client.query("SELECT profile.create(\(unborn), 'late')")
            for node in [one, other] { try await eventually { try await node.profiles.profiles(of: [unborn]).count == 1 } }
            try await database.client.query("DELETE FROM profile.profiles WHERE user_id = \(unborn)")
            for node in [one, other] { try await eventually { try await node.profiles.profiles(of: [unborn]).isEmpty } }
        }
    }

    @Test func friends_and_blocks_show_at_once_where_they_are_made_and_soon_elsewhere() async throws {
        try await withNodes { one, other, database in
            let (ada, grace) = (try await database.makeUser("ada"), try await database.makeUser("grace"))
            for node in [one, other] { #expect(try await node.friends(of: ada).isEmpty) }
            try await one.befriend(ada, grace)
            #expect(try await one.friends(of: ada) == [grace])
            #expect(try await one.friends(of: grace) == [ada])
            try await eventually { try await other.friends(of: ada) == [grace] }
            try await eventually { try await other.friends(of: grace) == [ada] }
            let group = try await one.friends.createGroup("work", of: ada)
            #expect(try await one.friends.groups(of: ada).value == [group])
            try await eventually { try await other.friends.groups(of: ada).value == [group] }
            // How two users stand to each other is not cached: no node may be late to know of a block.
            _ = try await other.friends.relations(of: grace, to: [ada])
            _ = try await one.friends.block(grace, by: ada)
            #expect(try await one.friends(of: grace).isEmpty)
            #expect(try await other.friends.relations(of: grace, to: [ada])[0].ownerBlocks)
            try await eventually { try await other.friends(of: grace).isEmpty }
        }
    }

    @Test func lost_connection_drops_everything_and_comes_back() async throws {
        try await withNodes { one, _, database in
            let ada = try await database.makeUser("ada")
            for round in 0..<5 {
                _ = try await one.nickname(of: ada)
                try await database.client.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND query LIKE 'LISTEN%'
                    """)
                let name = "round \(round)"
                try await database.client.query(
                    "UPDATE profile.profiles SET nickname = \(name), revision = revision + 1 WHERE user_id = \(ada)")
                try await eventually { try await one.nickname(of: ada) == name }
                try await eventually { one.cache.hears }
                #expect(try await one.nickname(of: ada) == name)
            }
        }
    }
}

/// A small generator with a seed (splitmix64).
private struct Lane: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}

extension TestDatabase {
    fileprivate func revision(of user: Int64) async throws -> Int64 {
        try await client.query("SELECT revision FROM profile.profiles WHERE user_id = \(user)")[0].decode(Int64.self)
    }
}
