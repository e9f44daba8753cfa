// The two lists with their pages.
import Contract
import GRPCCore
import TestSupport
import Testing

extension FriendshipServiceTests {
    @Suite struct ListTests {
        @Test func requests__come_newest_first_both_ways_page_by_page() async throws {
            try await withFriendships { world in
                var ids: [Int64] = []
                for index in 0..<5 {
                    let other = try await world.database.makeUser("user\(index)")
                    let request =
                        index.isMultiple(of: 2)
                        ? try await world.request(world.ada, other) : try await world.request(other, world.ada)
                    ids.insert(request.id, at: 0)
                }
                #expect(try await world.pending(of: world.ada) == ids)

                var pages: [[Int64]] = []
                var before: Int64 = 0
                repeat {
                    let page = try await world.friendships.listFriendRequests(
                        .with {
                            $0.limit = 2
                            $0.before = before
                        }, metadata: .bearer(world.ada))
                    pages.append(page.requests.map(\.id))
                    before = page.nextBefore
                } while before != 0
                #expect(pages == [Array(ids[0...1]), Array(ids[2...3]), [ids[4]]])
            }
        }

        @Test func friends__come_in_the_order_of_ids_page_by_page() async throws {
            try await withFriendships { world in
                var friends: [Int64] = []
                for index in 0..<4 {
                    friends.append(try await world.database.makeUser("user\(index)"))
                }
                for friend in friends.shuffled() { try await world.befriend(world.ada, friend) }
                #expect(try await world.friends(of: world.ada) == friends)

                let first = try await world.friendships.listFriends(
                    .with { $0.limit = 2 }, metadata: .bearer(world.ada))
                #expect(first.friends.map(\.userID) == Array(friends[0...1]))
                #expect(first.nextAfter == friends[1])
                #expect(first.friends[0].since.seconds > 1_700_000_000)
                let second = try await world.friendships.listFriends(
                    .with {
                        $0.limit = 2
                        $0.after = first.nextAfter
                    }, metadata: .bearer(world.ada))
                #expect(second.friends.map(\.userID) == Array(friends[2...3]))
                #expect(second.nextAfter == 0)
            }
        }

        @Test func lists__refuse_limits_and_cursors_out_of_range() async throws {
            try await withFriendships { world in
                for (limit, cursor) in [(-1, 0), (201, 0), (Int32.max, 0), (0, -1)] as [(Int32, Int64)] {
                    let error = await status {
                        _ = try await world.friendships.listFriendRequests(
                            .with {
                                $0.limit = limit
                                $0.before = cursor
                            }, metadata: .bearer(world.ada))
                    }
                    #expect(error?.code == .invalidArgument)
                }
                for (limit, cursor) in [(-1, 0), (1001, 0), (0, -1)] as [(Int32, Int64)] {
                    let error = await status {
                        _ = try await world.friendships.listFriends(
                            .with {
                                $0.limit = limit
                                $0.after = cursor
                            }, metadata: .bearer(world.ada))
                    }
                    #expect(error?.code == .invalidArgument)
                }
            }
        }
    }
}
