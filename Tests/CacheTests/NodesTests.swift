// The services' stores on two nodes over one Postgres, wherever they keep facts: what a node has written it reads at once,
// what others have written it reads soon, and a lost connection to Postgres costs time and no answer.
import Contract
import Foundation
import TestSupport
import Testing

@testable import Cache
@testable import Friendship
@testable import Profile

@Suite(.serialized) struct NodesTests {
    /// INTEGRATION_SEED repeats a run's choices, though not the order in which the tasks meet.
    @Test(arguments: Place.allCases)
    func random_writes_and_reads__never_older_than_the_nodes_own_write_and_finally_equal(place: Place) async throws {
        let seed = ProcessInfo.processInfo.environment["INTEGRATION_SEED"].flatMap(UInt64.init) ?? .random(in: 0...(.max))
        print("seed \(seed)")
        try await withNodes(place) { one, other, database, _ in
            let users = try await database.makeUsers(3)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (lane, node) in [one, other, one, other].enumerated() {
                    group.addTask {
                        var random = SplitMix(state: seed &+ UInt64(lane))
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
                try await node.becomesCurrent(with: database, about: users)
                #expect(node.answered("profile") > 0)
            }
        }
    }

    @Test(arguments: Place.allCases) func own_write_is_read_at_once_and_elsewhere_soon(place: Place) async throws {
        try await withNodes(place) { one, other, database, _ in
            let ada = try await database.makeUser("ada")
            for round in 0..<50 {
                _ = try await (one.nickname(of: ada), other.nickname(of: ada))
                try await one.rename(ada, "name \(round)")
                #expect(try await one.nickname(of: ada) == "name \(round)")
                try await eventually { try await other.nickname(of: ada) == "name \(round)" }
            }
        }
    }

    @Test(arguments: Place.allCases) func settings_keep_all_they_hold_in_the_cache(place: Place) async throws {
        try await withNodes(place) { one, other, database, _ in
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
                return one.answered("settings") > 0
            }
        }
    }

    /// A node that is still to hear of a change knows an older version than the device that made it elsewhere.
    @Test func device__that_is_ahead_of_a_nodes_cache_alone_is_given_what_it_asks_for() async throws {
        try await TestDatabase.with { database in
            let ada = try await database.makeUser("ada")
            let cache = Cache.inMemory(kinds: profileCacheKinds)
            cache.beginsToHear()
            let elsewhere = SettingsStore(postgres: database.client)
            try await withServer(of: { client in
                [SettingsHandler(postgres: database.client, relations: Relations(client: client), cache: cache)]
            }) { client in
                let settings = Ringway_V1_SettingsService.Client(wrapping: client)
                func since(_ version: Int64) async throws -> Ringway_V1_Settings {
                    try await settings.getSettings(.with { $0.sinceVersion = version }, metadata: .bearer(ada))
                }
                #expect(try await since(0).version == 1)
                for version in Int64(2)...3 {
                    let kind: Ringway_V1_Audience.Kind = version == 2 ? .nobody : .friends
                    _ = try await elsewhere.update(SettingsChange(.with { $0.privacy.find.kind = kind }), of: ada)
                }
                #expect(try await since(0).version == 1)
                #expect(try await since(2).privacy.find.kind == .friends)
                #expect(try await !since(3).hasPrivacy)
                #expect(await status { _ = try await since(4) }?.code == .outOfRange)
            }
        }
    }

    @Test(arguments: Place.allCases) func users_who_come_and_go_are_seen_to(place: Place) async throws {
        try await withNodes(place) { one, other, database, _ in
            let ada = try await database.makeUser("ada")
            let unborn = ada + 1_000_000_000
            for node in [one, other] {
                #expect(try await node.profiles.profiles(of: [unborn]).isEmpty)
                #expect(try await node.profiles.profiles(of: [unborn, ada]).count == 1)
                // A node that has just begun to hear makes the others begin anew in Redis: until they have, there are no hits.
                try await eventually {
                    _ = try await node.profiles.profiles(of: [unborn, ada])
                    return node.answered("profile") > 0
                }
            }
            try await database.client.query("SELECT profile.create(\(unborn), 'late')")
            for node in [one, other] { try await eventually { try await node.profiles.profiles(of: [unborn]).count == 1 } }
            try await database.client.query("DELETE FROM profile.profiles WHERE user_id = \(unborn)")
            for node in [one, other] { try await eventually { try await node.profiles.profiles(of: [unborn]).isEmpty } }
        }
    }

    @Test(arguments: Place.allCases)
    func friends_and_blocks_show_at_once_where_they_are_made_and_soon_elsewhere(place: Place) async throws {
        try await withNodes(place) { one, other, database, _ in
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

    @Test(arguments: Place.allCases)
    func requests_show_at_once_where_they_are_made_and_end_with_their_time_everywhere(place: Place) async throws {
        try await withNodes(place) { one, other, database, _ in
            let users = try await database.makeUsers(3)
            let (ada, grace, mary) = (users[0], users[1], users[2])
            for node in [one, other] { #expect(try await node.requests(of: grace).requests.isEmpty) }
            func ask(_ sender: Int64) async throws -> Int64 {
                try await one.friends.propose(Proposal(from: sender, to: grace, message: "hello")) { _ in true }.id
            }
            let (first, second) = (try await ask(ada), try await ask(mary))
            #expect(try await one.requests(of: grace).requests.map(\.id) == [second, first])
            #expect(try await one.requests(of: ada).requests.map(\.id) == [first])
            for node in [one, other] {
                try await eventually { try await node.requests(of: grace).requests.map(\.id) == [second, first] }
                #expect(try await node.requests(of: grace).nextBefore == 0)
                let part = try await node.requests(of: grace, limit: 1)
                #expect(part.requests.map(\.id) == [second] && part.nextBefore == second)
                #expect(try await part.version == node.requests(of: grace).version)
            }
            _ = try await one.friends.reject(first, by: grace)
            for user in [ada, grace] { #expect(try await !one.requests(of: user).requests.contains { $0.id == first }) }
            try await eventually { try await other.requests(of: ada).requests.isEmpty }
            // An end that nobody tells.
            try await database.client.query("UPDATE friendship.requests SET expires_at = now() + interval '5 seconds'")
            for node in [one, other] {
                node.cache.drop(FriendshipFacts.keys(of: [grace, mary]))
                let before = node.answered("friend_requests")
                try await eventually {
                    let isThere = try await node.requests(of: grace).requests.map(\.id) == [second]
                    return isThere && node.answered("friend_requests") > before
                }
            }
            for node in [one, other] { try await eventually { try await node.requests(of: grace).requests.isEmpty } }
        }
    }

    @Test func requests_hold_until_the_first_of_them_expires() throws {
        let page = try FirstRequests(.with { $0.requests = [90, 70, 80].map { end in .with { $0.expiresAt.seconds = end } } })
        #expect(FirstRequests.holds(page.bytes, at: Date(timeIntervalSince1970: 69.9)))
        #expect(!FirstRequests.holds(page.bytes, at: Date(timeIntervalSince1970: 70)))
        #expect(try FirstRequests.holds(FirstRequests(.init()).bytes))
        #expect(!FirstRequests.holds([1, 2, 3]))
    }

    @Test(arguments: Place.allCases) func lost_connection_drops_everything_and_comes_back(place: Place) async throws {
        try await withNodes(place) { one, _, database, _ in
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
