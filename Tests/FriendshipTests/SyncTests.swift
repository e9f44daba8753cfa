// Lists followed by what changed, requests that end by themselves, and limits.
import Contract
import GRPCCore
import Postgres
import ServiceKit
import TestSupport
import Testing

@testable import Friendship

extension FriendshipServiceTests {
    @Suite struct SyncTests {
        @Test func changes__since_a_version_are_those_and_no_others() async throws {
            try await withFriendships { world in
                var others: [Int64] = []
                for index in 0..<6 {
                    others.append(try await world.database.makeUser("user\(index)"))
                    try await world.befriend(world.ada, others[index])
                }
                let list = try await world.friendships.listFriends(.init(), metadata: .bearer(world.ada))
                #expect(list.version > 0)
                #expect(try await world.sync(world.ada, since: list.version) == .with { $0.version = list.version })

                try await world.remove(others[0], by: world.ada)
                let group = try await world.makeGroup("work", of: world.ada)
                _ = try await world.move(others[1], to: group.id, by: world.ada)
                _ = try await world.request(world.ada, world.grace, "hello")
                try await world.block(others[2], by: world.ada)
                let changes = try await world.sync(world.ada, since: list.version)
                #expect(Set(changes.removedFriendIds) == [others[0], others[2]])
                #expect(changes.friends.map(\.userID) == [others[1]])
                #expect(changes.friends[0].groupID == group.id)
                #expect(changes.requests.map(\.message) == ["hello"])
                #expect(changes.requests[0].to == world.grace)
                #expect(changes.blocks.map(\.userID) == [others[2]])
                #expect(changes.groups == [group])
                #expect(!changes.more)

                try await world.unblock(others[2], by: world.ada)
                _ = try await world.withdraw(changes.requests[0].id, by: world.ada)
                let rest = try await world.sync(world.ada, since: changes.version)
                #expect(rest.unblockedIds == [others[2]])
                #expect(rest.endedRequestUserIds == [world.grace])
                #expect(rest.friends.isEmpty && !rest.groupsChanged)
            }
        }

        @Test func changes__from_0_page_by_page_are_everything() async throws {
            try await withFriendships { world in
                var others: [Int64] = []
                for index in 0..<5 {
                    others.append(try await world.database.makeUser("user\(index)"))
                    try await world.befriend(world.ada, others[index])
                }
                let group = try await world.makeGroup("all", of: world.ada)
                for other in others { _ = try await world.move(other, to: group.id, by: world.ada) }
                _ = try await world.friendships.deleteFriendGroup(.with { $0.id = group.id }, metadata: .bearer(world.ada))
                var friends: [Int64] = []
                var page = Ringway_V1_ListRelationChangesResponse()
                var pages = 0
                repeat {
                    page = try await world.sync(world.ada, since: page.version, limit: 2)
                    friends += page.friends.map(\.userID)
                    pages += 1
                } while page.more && pages < 20
                #expect(friends.sorted() == others)
                #expect(page.version == (try await world.sync(world.ada, since: 0).version))
            }
        }

        @Test func changes__that_come_between_the_reads_of_an_answer__are_told_the_next_time() async throws {
            try await withFriendships { world in
                let (ada, grace) = (world.ada, world.grace)
                try await world.befriend(ada, grace)
                let since = try await world.sync(ada, since: 0).version
                // The answer's first read goes through, its second waits; meanwhile a group is made and a friend changes.
                let answer = try await world.database.client.transaction { holder in
                    try await holder.query("LOCK TABLE friendship.changes IN ACCESS EXCLUSIVE MODE")
                    let answer = Task { try await world.sync(ada, since: since) }
                    let waits: PostgresQuery =
                        "SELECT FROM pg_locks WHERE relation = 'friendship.changes'::regclass AND NOT granted"
                    while try await holder.query(waits).isEmpty { try await Task.sleep(for: .milliseconds(5)) }
                    try await holder.query("INSERT INTO friendship.groups (user_id, name, position) VALUES (\(ada), 'new', 0)")
                    try await holder.query(
                        """
                        UPDATE friendship.owners SET groups = 1, version = version + 1, groups_version = version + 1
                        WHERE user_id = \(ada)
                        """)
                    try await holder.query("SELECT friendship.note(\(ada), 1::smallint, ARRAY[\(grace)]::bigint[])")
                    return answer
                }
                let first = try await answer.value
                let rest = try await world.sync(ada, since: first.version)
                #expect((first.groups + rest.groups).map(\.name) == ["new"])
                #expect((first.friends + rest.friends).map(\.userID) == [grace])
                #expect(try await world.sync(ada, since: rest.version) == .with { $0.version = rest.version })
            }
        }

        @Test func changes__refuse_a_version_from_nowhere() async throws {
            try await withFriendships { world in
                #expect(await status { _ = try await world.sync(world.ada, since: 1) }?.code == .outOfRange)
                #expect(await status { _ = try await world.sync(world.ada, since: -1) }?.code == .invalidArgument)
                #expect(await status { _ = try await world.sync(world.ada, since: 0, limit: 1001) }?.code == .invalidArgument)
            }
        }

        @Test func withdrawal__belongs_to_the_sender() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace)
                for user in [world.grace, world.mary] {
                    #expect(await status { _ = try await world.withdraw(request.id, by: user) }?.code == .notFound)
                }
                #expect(try await world.withdraw(request.id, by: world.ada).state == .withdrawn)
                #expect(await status { _ = try await world.withdraw(request.id, by: world.ada) }?.code == .notFound)
                #expect(await status { _ = try await world.accept(request.id, by: world.grace) }?.code == .notFound)
                for user in [world.ada, world.grace] {
                    #expect(try await world.changes(of: user).map(\.change) == [.requested, .withdrawn])
                }
                try await world.expectCountsToAgree()
            }
        }

        @Test func expired_request__is_gone_before_it_is_swept() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace)
                #expect(request.expiresAt.seconds - request.createdAt.seconds == 30 * 86_400)
                try await world.age(request.id)
                #expect(try await world.pending(of: world.grace).isEmpty)
                #expect(try await world.sync(world.grace, since: 0).requests.isEmpty)
                #expect(await status { _ = try await world.accept(request.id, by: world.grace) }?.code == .notFound)
                #expect(await status { _ = try await world.withdraw(request.id, by: world.ada) }?.code == .notFound)
                // The other way now, although the old one was never swept: no friendship comes of it.
                let again = try await world.request(world.grace, world.ada)
                #expect(again.state == .pending)
                #expect(try await world.changes(of: world.ada).map(\.change) == [.requested, .expired, .requested])
                try await world.expectCountsToAgree()
            }
        }

        @Test func sweep__ends_what_is_due_once_and_tells_both() async throws {
            try await withFriendships { world in
                let old = try await world.request(world.ada, world.grace)
                let young = try await world.request(world.ada, world.mary)
                try await world.age(old.id)
                let handler = world.handler
                _ = await together(Array(repeating: { try await handler.sweep() }, count: 4))
                #expect(try await world.changes(of: world.grace).map(\.change) == [.requested, .expired])
                #expect(try await world.pending(of: world.ada) == [young.id])
                #expect(try await world.changes(of: world.ada).count == 3)
                try await world.expectCountsToAgree()
            }
        }

        @Test func sweep__goes_on_past_a_request_that_it_can_not_end() async throws {
            try await withFriendships { world in
                for other in [world.grace, world.mary] {
                    let request = try await world.request(world.ada, other)
                    try await world.age(request.id)
                }
                // Who has no log can be told nothing, which no change may hide.
                try await world.database.client.query("DELETE FROM inbox.heads WHERE user_id = \(world.grace)")
                // One at a time: what is refused is not looked at again.
                await #expect(throws: PostgresError.self) { try await world.handler.store.sweep(limit: 1) }
                #expect(try await world.changes(of: world.mary).map(\.change) == [.requested, .expired])
            }
        }

        @Test func limits__refuse_what_comes_next_and_say_whose() async throws {
            var settings = FriendshipSettings()
            (settings.friendsMax, settings.groupsMax, settings.requestsMax, settings.blocksMax) = (1, 1, 1, 1)
            try await withFriendships(settings) { world in
                let first = try await world.request(world.ada, world.grace)
                let sent = await status { _ = try await world.request(world.ada, world.mary) }
                let received = await status { _ = try await world.request(world.mary, world.grace) }
                #expect([sent?.code, received?.code] == [.resourceExhausted, .resourceExhausted])
                #expect(sent?.message != received?.message)
                _ = try await world.accept(first.id, by: world.grace)
                let second = try await world.request(world.mary, world.ada)
                let full = await status { _ = try await world.accept(second.id, by: world.ada) }
                #expect(full?.code == .resourceExhausted)
                #expect(try await world.pending(of: world.ada) == [second.id])
                _ = try await world.makeGroup("one", of: world.ada)
                #expect(await status { _ = try await world.makeGroup("two", of: world.ada) }?.code == .resourceExhausted)
                try await world.block(1, by: world.ada)
                #expect(await status { try await world.block(2, by: world.ada) }?.code == .resourceExhausted)
                try await world.expectCountsToAgree()
            }
        }

        @Test func requests__beyond_the_limit_reach_nobody_and_tell_when_to_come_back() async throws {
            var limits = FriendshipLimits()
            (limits.requestLimit, limits.targetLimit) = (RateLimit(4, per: .seconds(600)), RateLimit(2, per: .seconds(600)))
            try await withFriendships(limits: limits) { world in
                for _ in 0..<2 {
                    let request = try await world.request(world.ada, world.grace)
                    _ = try await world.withdraw(request.id, by: world.ada)
                }
                let log = try await world.changes(of: world.grace).count
                // It counts among the user's all the same.
                let again = await status { _ = try await world.request(world.ada, world.grace) }
                #expect(again?.code == .resourceExhausted)
                #expect((again?.retryAfterMilliseconds ?? 0) > 0)
                #expect(try await world.changes(of: world.grace).count == log)
                _ = try await world.request(world.ada, world.mary)
                let other = await status { _ = try await world.request(world.ada, 1) }
                #expect(other?.code == .resourceExhausted)
                // Nobody else is held back.
                _ = try await world.request(world.mary, world.grace)
            }
        }

        @Test func changes__beyond_the_limit_change_nothing_and_hold_nobody_else_back() async throws {
            var limits = FriendshipLimits.none
            limits.changeLimit = RateLimit(3, per: .seconds(600))
            try await withFriendships(limits: limits) { world in
                let request = try await world.request(world.grace, world.ada)
                for user in [Int64(1), 2, 3] { try await world.block(user, by: world.ada) }
                let log = try await world.changes(of: world.ada).count
                let refused = [
                    await status { try await world.block(4, by: world.ada) },
                    await status { _ = try await world.makeGroup("one", of: world.ada) },
                    await status { _ = try await world.accept(request.id, by: world.ada) },
                ]
                #expect(refused.map(\.?.code) == [.resourceExhausted, .resourceExhausted, .resourceExhausted])
                #expect((refused[0]?.retryAfterMilliseconds ?? 0) > 0)
                #expect(try await world.changes(of: world.ada).count == log)
                _ = try await world.withdraw(request.id, by: world.grace)
            }
        }

        @Test func requests_against_a_limit__never_pass_it() async throws {
            var settings = FriendshipSettings()
            settings.requestsMax = 3
            try await withFriendships(settings) { world in
                var others: [Int64] = []
                for index in 0..<8 { others.append(try await world.database.makeUser("user\(index)")) }
                let codes = await together(others.map { other in { _ = try await world.request(other, world.ada) } })
                #expect(codes.count { $0 == nil } == 3)
                #expect(try await world.pending(of: world.ada).count == 3)
            }
        }
    }
}
