// Blocks: what they end, what the blocked one is told (nothing), and that they look like nobody.
import Contract
import GRPCCore
import TestSupport
import Testing

extension FriendshipServiceTests {
    @Suite struct BlockTests {
        @Test func block__ends_the_friendship_like_any_removal() async throws {
            try await withFriendships { world in
                try await world.befriend(world.ada, world.grace)
                let block = try await world.block(world.grace, by: world.ada)
                #expect(block.userID == world.grace)
                for user in [world.ada, world.grace] { #expect(try await world.friends(of: user).isEmpty) }
                #expect(
                    try await world.changes(of: world.ada).map(\.change)
                        == [.requested, .accepted, .removed, .blocked])
                #expect(try await world.changes(of: world.grace).map(\.change) == [.requested, .accepted, .removed])
                try await world.unblock(world.grace, by: world.ada)
                #expect(try await world.friends(of: world.ada).isEmpty)
                try await world.expectCountsToAgree()
            }
        }

        @Test func block__ends_a_pending_request_of_either() async throws {
            try await withFriendships { world in
                _ = try await world.request(world.ada, world.grace)
                let received = try await world.request(world.mary, world.ada)
                try await world.block(world.grace, by: world.ada)
                try await world.block(world.mary, by: world.ada)
                #expect(try await world.changes(of: world.grace).map(\.change) == [.requested, .withdrawn])
                #expect(try await world.changes(of: world.mary).map(\.change) == [.requested, .rejected])
                #expect(try await world.pending(of: world.ada).isEmpty)
                #expect(await status { _ = try await world.accept(received.id, by: world.ada) }?.code == .notFound)
                try await world.expectCountsToAgree()
            }
        }

        @Test func blocked_one__meets_nobody_and_learns_nothing() async throws {
            try await withFriendships { world in
                try await world.block(world.grace, by: world.ada)
                let nobody = await status { _ = try await world.request(world.grace, 1) }
                let blocker = await status { _ = try await world.request(world.grace, world.ada) }
                #expect(blocker?.code == .notFound)
                #expect(blocker?.code == nobody?.code)
                #expect(blocker?.message == nobody?.message)
                #expect(try await world.changes(of: world.grace).isEmpty)
                #expect(try await world.sync(world.grace, since: 0) == .init())
                #expect(try await world.pending(of: world.ada).isEmpty)
            }
        }

        @Test func blocker__must_unblock_before_asking() async throws {
            try await withFriendships { world in
                try await world.block(world.grace, by: world.ada)
                // Alike whether the other has blocked, too.
                for _ in 0..<2 {
                    let error = await status { _ = try await world.request(world.ada, world.grace) }
                    #expect(error?.code == .failedPrecondition)
                    try await world.block(world.ada, by: world.grace)
                }
                try await world.unblock(world.grace, by: world.ada)
                #expect(await status { _ = try await world.request(world.ada, world.grace) }?.code == .notFound)
                try await world.unblock(world.ada, by: world.grace)
                #expect(try await world.request(world.ada, world.grace).state == .pending)
            }
        }

        @Test func block__of_any_id_succeeds_and_leaves_nothing_with_nobody() async throws {
            try await withFriendships { world in
                let first = try await world.block(12345, by: world.ada)
                #expect(try await world.block(12345, by: world.ada) == first)
                #expect(try await world.changes(of: world.ada).count == 1)
                let rows = try await world.database.client.query(
                    "SELECT FROM friendship.owners WHERE user_id = 12345")
                #expect(rows.isEmpty)
                for id in [0, -1, world.ada] {
                    #expect(await status { try await world.block(id, by: world.ada) }?.code == .invalidArgument)
                }
                #expect(await status { try await world.unblock(world.grace, by: world.ada) }?.code == .notFound)
            }
        }

        @Test func blocks__are_listed_page_by_page_to_their_owner() async throws {
            try await withFriendships { world in
                for id in [5, 3, 4] as [Int64] { try await world.block(id, by: world.ada) }
                let first = try await world.friendships.listBlocks(.with { $0.limit = 2 }, metadata: .bearer(world.ada))
                #expect(first.blocks.map(\.userID) == [3, 4])
                #expect(first.nextAfter == 4)
                let second = try await world.friendships.listBlocks(.with { $0.after = 4 }, metadata: .bearer(world.ada))
                #expect(second.blocks.map(\.userID) == [5])
                #expect(second.nextAfter == 0)
                #expect(try await world.friendships.listBlocks(.init(), metadata: .bearer(world.grace)).blocks.isEmpty)
            }
        }

        @Test func relation__says_who_blocks_whom() async throws {
            try await withFriendships { world in
                try await world.block(world.grace, by: world.ada)
                let toBlocker = try await world.relation(of: world.grace, to: world.ada)
                #expect(toBlocker.ownerBlocks && !toBlocker.viewerBlocks)
                let toBlocked = try await world.relation(of: world.ada, to: world.grace)
                #expect(!toBlocked.ownerBlocks && toBlocked.viewerBlocks)
            }
        }

        @Test func who_may_not_be_added__looks_like_nobody() async throws {
            try await withFriendships(mayAdd: { _, _ in false }) { world in
                let shy = await status { _ = try await world.request(world.ada, world.grace) }
                let nobody = await status { _ = try await world.request(world.ada, 1) }
                #expect(shy?.code == .notFound)
                #expect(shy?.message == nobody?.message)
            }
        }

        @Test func block_against_request_and_accept__leaves_nothing_behind() async throws {
            try await withFriendships { world in
                for round in 0..<12 {
                    let other = try await world.database.makeUser("user\(round)")
                    let request = try await world.request(world.ada, other)
                    let codes = await together([
                        { try await world.block(other, by: world.ada) },
                        { _ = try await world.accept(request.id, by: other) },
                        { _ = try await world.request(other, world.ada) },
                    ])
                    #expect(codes[0] == nil)
                    #expect(try await world.friends(of: other).isEmpty)
                    #expect(try await world.pending(of: other).isEmpty)
                    #expect(!(try await world.changes(of: other).contains { $0.change == .blocked }))
                }
                try await world.expectCountsToAgree()
            }
        }
    }
}
