// What one user is shown of another, through the services, on Postgres: profiles, search, avatars, last seen.
import Contract
import GRPCCore
import TestSupport
import Testing

@testable import Profile

@Suite(.serialized) struct PrivacyTests {
    @Test func who_blocks__looks_like_nobody() async throws {
        try await withHouse { house in
            house.friendship.block(house.ada, by: house.grace)
            var refusals: [RPCError?] = []
            for id in [house.grace, 1] {
                refusals.append(await status {
                    _ = try await house.profiles.getProfile(.with { $0.userID = id }, metadata: .bearer(house.ada))
                })
            }
            #expect(refusals[0]?.code == .notFound)
            #expect(refusals[0]?.code == refusals[1]?.code)
            #expect(refusals[0]?.message == refusals[1]?.message)
            // The same was asked for both.
            #expect(house.friendship.calls == 2)
            let found = try await house.profiles.getProfiles(
                .with { $0.userIds = [house.grace, 1] }, metadata: .bearer(house.ada))
            #expect(found.profiles.isEmpty)
            let search = try await house.profiles.searchProfiles(
                .with { $0.query = "grace" }, metadata: .bearer(house.ada))
            #expect(search == .init())
        }
    }

    @Test func last_seen__is_shown_to_its_audience_and_stands_still_while_invisible() async throws {
        try await withHouse { house in
            let (ada, grace) = (house.ada, house.grace)
            func seen() async throws -> Ringway_V1_Profile {
                try await house.profiles.getProfile(.with { $0.userID = grace }, metadata: .bearer(ada))
            }
            _ = try await house.profiles.recordLastSeen(.with { $0.userIds = [grace, 1] })
            #expect(try await seen().hasLastSeen == false)
            house.friendship.befriend(ada, grace)
            let before = try await seen()
            #expect(before.hasLastSeen)
            #expect(before.version == 1)
            _ = try await house.profiles.updateMyProfile(
                .with { $0.status = .invisible }, metadata: .bearer(grace))
            _ = try await house.profiles.recordLastSeen(.with { $0.userIds = [grace] })
            var expected = before
            expected.status = .unspecified
            // Not even the version tells.
            #expect(try await seen() == expected)
            try await house.setPrivacy(of: grace) { $0.lastSeen.kind = .nobody }
            #expect(try await seen().hasLastSeen == false)
        }
    }

    @Test func search__pages_through_usernames_then_nicknames_without_the_hidden() async throws {
        try await withHouse { house in
            for index in 10..<20 {
                let user = try await house.database.makeUser("robin\(index)")
                if index % 2 == 1 { try await house.setPrivacy(of: user) { $0.find.kind = .nobody } }
            }
            _ = try await house.profiles.updateMyProfile(
                .with { $0.nickname = "The ROBIN %" }, metadata: .bearer(house.grace))
            var names: [String] = []
            var cursor = ""
            repeat {
                let page = try await house.profiles.searchProfiles(
                    .with { $0.query = "Robin"; $0.limit = 2; $0.cursor = cursor }, metadata: .bearer(house.ada))
                names += page.profiles.map(\.username)
                cursor = page.nextCursor
                #expect(page.profiles.count <= 2)
            } while !cursor.isEmpty && names.count < 20
            #expect(names == ["robin10", "robin12", "robin14", "robin16", "robin18", "grace"])
            for query in ["%%%", "rob_n", "n %"] {
                let page = try await house.profiles.searchProfiles(
                    .with { $0.query = query }, metadata: .bearer(house.ada))
                #expect(page.profiles.isEmpty)
            }
        }
    }

    @Test func search__that_takes_too_long_is_refused_and_names_the_query() async throws {
        var limits = SearchLimits()
        limits.patience = .milliseconds(50)
        try await withHouse(searchLimits: limits) { house in
            // A nickname of which each row has to be read, because it has all trigrams of the query.
            try await house.database.client.query(
                """
                INSERT INTO profile.profiles (user_id, username, nickname)
                SELECT n, 'crowd' || n, 'abcd bcde cdea deab eabc' FROM generate_series(1, 100000) n
                """, timeout: .seconds(60))
            func search(_ query: String) async -> RPCError? {
                await status {
                    _ = try await house.profiles.searchProfiles(.with { $0.query = query }, metadata: .bearer(house.ada))
                }
            }
            let error = await search("abcdeabcd")
            #expect(error?.code == .resourceExhausted)
            #expect(error.map { Array($0.metadata[stringValues: "field"]) } == ["query"])
            #expect(error?.message == "so many nicknames are like the query that it has to be longer")
            // The connection goes on, and so does who asks for less, which a busy machine may answer late, but not each time.
            for query in ["grace", "nobody like this", "abcdx"] {
                var refusal = await search(query)
                for _ in 0..<4 where refusal != nil { refusal = await search(query) }
                #expect(refusal == nil, "\(query)")
            }
        }
    }

    @Test func avatar__is_shown_to_its_audience_and_kept_while_it_is_someones() async throws {
        try await withHouse { house in
            let (ada, grace) = (house.ada, house.grace)
            let mine = try await house.profiles.setMyAvatar(
                .with { $0.contentType = "image/png"; $0.image = Sample.encode(width: 64, height: 64, as: .png) },
                metadata: .bearer(grace))
            #expect(mine.avatar.count == 64)
            #expect(mine.version == 2)
            let log = try await house.database.events(of: grace)
            #expect(log.map(\.profile.profile.avatar) == [mine.avatar])
            for size in [0, 128, 512] as [Int32] {
                let avatar = try await house.profiles.getAvatar(.with { $0.hash = mine.avatar; $0.size = size })
                #expect(avatar.contentType == "image/webp")
                #expect(!avatar.image.isEmpty)
            }
            func shown() async throws -> String {
                try await house.profiles.getProfile(.with { $0.userID = grace }, metadata: .bearer(ada)).avatar
            }
            #expect(try await shown() == mine.avatar)
            try await house.setPrivacy(of: grace) { $0.avatar.kind = .friends }
            #expect(try await shown() == "")
            let without = try await house.profiles.removeMyAvatar(.init(), metadata: .bearer(grace))
            #expect(without.avatar == "")
            #expect(try await house.profiles.removeMyAvatar(.init(), metadata: .bearer(grace)) == without)
            let gone = await status { _ = try await house.profiles.getAvatar(.with { $0.hash = mine.avatar }) }
            #expect(gone?.code == .notFound)
            for (hash, size) in [("", 0), ("../../etc", 0), (mine.avatar.uppercased(), 0), (mine.avatar, 64), (mine.avatar, -1)]
                as [(String, Int32)]
            {
                let error = await status { _ = try await house.profiles.getAvatar(.with { $0.hash = hash; $0.size = size }) }
                #expect(error?.code == .invalidArgument)
            }
        }
    }

    @Test func hot_queries__read_by_index() async throws {
        try await withHouse { house in
            // A trigram index of so many names takes seconds, and on a busy machine more than a query is usually given.
            try await house.database.client.query(
                """
                INSERT INTO profile.profiles (user_id, username, nickname)
                SELECT id, 'user' || id, 'Name ' || md5(id::text) FROM generate_series(1, 20000) AS id
                """, timeout: .seconds(60))
            try await house.database.client.query("ANALYZE profile.profiles")
            for (query, index) in [
                (
                    "EXPLAIN SELECT user_id FROM profile.profiles WHERE lower(nickname) LIKE '%abcdef%'",
                    "profiles_nickname_trigrams"
                ),
                (
                    "EXPLAIN SELECT user_id FROM profile.profiles WHERE username ~>=~ 'user77' AND username ~<~ 'user78'"
                        + " ORDER BY username USING ~<~ LIMIT 20", "profiles_username_prefix"
                ),
                ("EXPLAIN SELECT small FROM profile.avatars WHERE hash = '\\x00' LIMIT 1", "avatars_of_hash"),
                ("EXPLAIN SELECT audience FROM profile.privacy WHERE user_id = ANY('{1,2}') AND field = 3", "privacy_pkey"),
            ] {
                let rows = try await house.database.client.query(.init(stringLiteral: query))
                let plan = try rows.map { try $0.decode(String.self) }.joined(separator: "\n")
                #expect(plan.contains(index), "\(plan)")
            }
        }
    }
}
