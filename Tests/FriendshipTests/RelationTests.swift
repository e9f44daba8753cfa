// What services are told about how users stand to each other.
import Contract
import GRPCCore
import TestSupport
import Testing

extension FriendshipServiceTests {
    @Suite struct RelationTests {
        private func relations(
            of viewer: Int64, to owners: [Int64], in world: World
        ) async throws -> [Ringway_V1_Relation] {
            try await world.friendships.getRelations(
                .with {
                    $0.viewerID = viewer
                    $0.ownerIds = owners
                }
            ).relations
        }

        @Test func relations__answer_every_owner_in_order() async throws {
            try await withFriendships { world in
                try await world.befriend(world.ada, world.grace)
                let owners = [world.mary, world.grace, 7, -1, world.grace, world.ada]
                let found = try await relations(of: world.ada, to: owners, in: world)
                #expect(found.map(\.ownerID) == owners)
                #expect(found.map(\.friend) == [false, true, false, false, true, false])
                #expect(found.allSatisfy { !$0.ownerBlocks && !$0.viewerBlocks && $0.groupID == 0 })
                #expect(try await relations(of: world.ada, to: [], in: world).isEmpty)
            }
        }

        @Test func relations__have_a_limit() async throws {
            try await withFriendships { world in
                let error = await status {
                    _ = try await relations(of: world.ada, to: Array(1...1001), in: world)
                }
                #expect(error?.code == .invalidArgument)
            }
        }
    }
}
