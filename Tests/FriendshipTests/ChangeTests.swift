// Request, accept, reject, remove: their answers, their errors, and what both logs say.
import Contract
import GRPCCore
import TestSupport
import Testing

extension FriendshipServiceTests {
    @Suite struct ChangeTests {
        @Test func request__is_pending_for_both_and_in_both_logs() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace, "hello")
                #expect(request.id > 0)
                #expect((request.from, request.to) == (world.ada, world.grace))
                #expect(request.message == "hello")
                #expect(request.state == .pending)
                #expect(request.createdAt.seconds > 1_700_000_000)

                for (user, other) in [(world.ada, world.grace), (world.grace, world.ada)] {
                    #expect(try await world.pending(of: user) == [request.id])
                    #expect(try await world.friends(of: user).isEmpty)
                    let changes = try await world.changes(of: user)
                    #expect(changes.map(\.change) == [.requested])
                    #expect(changes[0].userID == other)
                    #expect(changes[0].request == request)
                }
                #expect(try await world.changes(of: world.mary).isEmpty)
                #expect(try await world.pending(of: world.mary).isEmpty)
            }
        }

        @Test func request__repeated_returns_the_pending_one_silently() async throws {
            try await withFriendships { world in
                let first = try await world.request(world.ada, world.grace, "hello")
                let second = try await world.request(world.ada, world.grace, "hello again")
                #expect(second == first)
                #expect(try await world.changes(of: world.grace).count == 1)
            }
        }

        @Test func request__of_both_sides_makes_friends_at_once() async throws {
            try await withFriendships { world in
                let asked = try await world.request(world.ada, world.grace, "hello")
                let answered = try await world.request(world.grace, world.ada, "me too")
                #expect(answered.id == asked.id)
                #expect(answered.from == world.ada)
                #expect(answered.state == .accepted)
                #expect(try await world.friends(of: world.ada) == [world.grace])
                #expect(try await world.friends(of: world.grace) == [world.ada])
                #expect(try await world.pending(of: world.ada).isEmpty)
                for user in [world.ada, world.grace] {
                    #expect(try await world.changes(of: user).map(\.change) == [.requested, .accepted])
                }
            }
        }

        @Test func request__refuses_oneself_nobody_and_a_friend() async throws {
            try await withFriendships { world in
                let oneself = await status { _ = try await world.request(world.ada, world.ada) }
                #expect(oneself?.code == .invalidArgument)
                for id in [0, -1, 1, Int64.max, .min] {
                    let nobody = await status { _ = try await world.request(world.ada, id) }
                    #expect(nobody?.code == .notFound)
                    #expect(nobody?.message == "no such user")
                }
                try await world.befriend(world.ada, world.grace)
                for (from, to) in [(world.ada, world.grace), (world.grace, world.ada)] {
                    let friend = await status { _ = try await world.request(from, to) }
                    #expect(friend?.code == .alreadyExists)
                }
                let chatty = await status {
                    _ = try await world.request(world.ada, world.mary, String(repeating: "x", count: 257))
                }
                #expect(chatty?.code == .invalidArgument)
                #expect(try await world.changes(of: world.mary).isEmpty)
            }
        }

        @Test func accept__makes_friends_and_tells_both() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace, "hello")
                let accepted = try await world.accept(request.id, by: world.grace)
                #expect(accepted.state == .accepted)
                #expect(accepted.id == request.id)
                #expect(accepted.createdAt == request.createdAt)
                for (user, other) in [(world.ada, world.grace), (world.grace, world.ada)] {
                    #expect(try await world.friends(of: user) == [other])
                    let last = try #require(try await world.changes(of: user).last)
                    #expect(last.change == .accepted)
                    #expect(last.userID == other)
                    #expect(last.request == accepted)
                }
            }
        }

        @Test func reject__ends_the_request_and_leaves_room_for_another() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace)
                let rejected = try await world.reject(request.id, by: world.grace)
                #expect(rejected.state == .rejected)
                #expect(try await world.friends(of: world.ada).isEmpty)
                #expect(try await world.pending(of: world.ada).isEmpty)
                for user in [world.ada, world.grace] {
                    #expect(try await world.changes(of: user).map(\.change) == [.requested, .rejected])
                }
                let again = try await world.request(world.ada, world.grace)
                #expect(again.id != request.id)
                #expect(again.state == .pending)
            }
        }

        @Test func request__that_is_over_is_kept_nowhere_but_in_the_logs() async throws {
            try await withFriendships { world in
                let ends: [(Int64) async throws -> Void] = [
                    { _ = try await world.reject($0, by: world.grace) }, { _ = try await world.withdraw($0, by: world.ada) },
                    { try await world.age($0); try await world.handler.sweep() },
                    { _ in _ = try await world.block(world.grace, by: world.ada) },
                    { _ in
                        try await world.unblock(world.grace, by: world.ada)
                        _ = try await world.request(world.grace, world.ada)
                        _ = try await world.request(world.ada, world.grace)
                    },
                ]
                for (index, end) in ends.enumerated() {
                    if index < ends.count - 1 { _ = try await world.request(world.ada, world.grace) }
                    try await end(world.pending(of: world.ada).first ?? 0)
                    let left = try await world.database.client.query("SELECT FROM friendship.requests")
                    #expect(left.isEmpty, "after end \(index)")
                }
                try await world.expectCountsToAgree()
                #expect(
                    try await world.changes(of: world.grace).map(\.change) == [
                        .requested, .rejected, .requested, .withdrawn, .requested, .expired, .requested, .withdrawn,
                        .requested, .accepted,
                    ])
            }
        }

        @Test func answer__belongs_to_the_recipient_of_a_pending_request() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace)
                for user in [world.ada, world.mary] {
                    #expect(await status { _ = try await world.accept(request.id, by: user) }?.code == .notFound)
                    #expect(await status { _ = try await world.reject(request.id, by: user) }?.code == .notFound)
                }
                for id in [0, -1, request.id + 1, Int64.max] {
                    #expect(await status { _ = try await world.accept(id, by: world.grace) }?.code == .notFound)
                    #expect(await status { _ = try await world.reject(id, by: world.grace) }?.code == .notFound)
                }
                _ = try await world.accept(request.id, by: world.grace)
                #expect(await status { _ = try await world.accept(request.id, by: world.grace) }?.code == .notFound)
                #expect(await status { _ = try await world.reject(request.id, by: world.grace) }?.code == .notFound)
                #expect(try await world.friends(of: world.ada) == [world.grace])
                #expect(try await world.changes(of: world.ada).count == 2)
            }
        }

        @Test func remove__ends_the_friendship_for_both() async throws {
            try await withFriendships { world in
                try await world.befriend(world.ada, world.grace)
                try await world.befriend(world.ada, world.mary)
                try await world.remove(world.ada, by: world.grace)
                #expect(try await world.friends(of: world.ada) == [world.mary])
                #expect(try await world.friends(of: world.grace).isEmpty)
                for (user, other) in [(world.ada, world.grace), (world.grace, world.ada)] {
                    let last = try #require(try await world.changes(of: user).last)
                    #expect(last.change == .removed)
                    #expect(last.userID == other)
                    #expect(!last.hasRequest)
                }
                let again = try await world.request(world.ada, world.grace)
                #expect(again.state == .pending)
            }
        }

        @Test func remove__of_no_friend_is_NOT_FOUND() async throws {
            try await withFriendships { world in
                _ = try await world.request(world.ada, world.grace)
                for id in [0, -1, Int64.max, world.ada, world.grace, world.mary] {
                    #expect(await status { try await world.remove(id, by: world.ada) }?.code == .notFound)
                }
                #expect(try await world.changes(of: world.ada).count == 1)
            }
        }

        @Test func everything__needs_a_caller() async throws {
            try await withFriendships { world in
                let client = world.friendships
                let codes = [
                    await status { _ = try await client.requestFriend(.with { $0.to = world.grace }) },
                    await status { _ = try await client.listFriendRequests(.init()) },
                    await status { _ = try await client.acceptFriendRequest(.with { $0.id = 1 }) },
                    await status { _ = try await client.rejectFriendRequest(.with { $0.id = 1 }) },
                    await status { _ = try await client.listFriends(.init()) },
                    await status { _ = try await client.removeFriend(.with { $0.userID = world.grace }) },
                ].map { $0?.code }
                #expect(codes.allSatisfy { $0 == .unauthenticated })
            }
        }

        @Test func change__without_its_events_does_not_happen() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace)
                try await world.database.client.query("DELETE FROM inbox.heads WHERE user_id = \(world.ada)")
                let error = await status { _ = try await world.accept(request.id, by: world.grace) }
                #expect(error?.code == .internalError)
                #expect(error?.message == "internal error")
                #expect(try await world.friends(of: world.grace).isEmpty)
                #expect(try await world.pending(of: world.grace) == [request.id])
            }
        }
    }
}
