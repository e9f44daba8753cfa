// Friend groups and remarks: a user's own ordering of their friends, told to nobody else.
import Contract
import GRPCCore
import TestSupport
import Testing

extension FriendshipServiceTests {
    @Suite struct GroupTests {
        @Test func groups__are_made_renamed_and_reordered() async throws {
            try await withFriendships { world in
                let work = try await world.makeGroup("work", of: world.ada)
                let home = try await world.makeGroup("home", of: world.ada)
                #expect(try await world.groups(of: world.ada) == ["work", "home"])
                let renamed = try await world.friendships.renameFriendGroup(
                    .with { ($0.id, $0.name) = (work.id, "office") }, metadata: .bearer(world.ada))
                #expect(renamed == .with { ($0.id, $0.name) = (work.id, "office") })
                let reordered = try await world.friendships.reorderFriendGroups(
                    .with { $0.ids = [home.id, work.id] }, metadata: .bearer(world.ada))
                #expect(reordered.groups.map(\.name) == ["home", "office"])
                #expect(try await world.groups(of: world.ada) == ["home", "office"])
                let last = try #require(try await world.changes(of: world.ada).last)
                #expect(last.change == .groupsChanged)
                #expect(last.groups == reordered.groups)
                #expect(try await world.groups(of: world.grace).isEmpty)
                try await world.expectCountsToAgree()
            }
        }

        @Test func groups__that_are_the_same_afterwards__are_no_news() async throws {
            try await withFriendships { world in
                let work = try await world.makeGroup("work", of: world.ada)
                let home = try await world.makeGroup("home", of: world.ada)
                let version = try await world.sync(world.ada, since: 0).version
                let renamed = try await world.friendships.renameFriendGroup(
                    .with { ($0.id, $0.name) = (work.id, "work") }, metadata: .bearer(world.ada))
                #expect(renamed == work)
                let reordered = try await world.friendships.reorderFriendGroups(
                    .with { $0.ids = [work.id, home.id] }, metadata: .bearer(world.ada))
                #expect(reordered.groups == [work, home])
                #expect(try await world.changes(of: world.ada).count == 2)
                #expect(try await world.sync(world.ada, since: version) == .with { $0.version = version })
            }
        }

        @Test func groups__refuse_bad_names_and_orders() async throws {
            try await withFriendships { world in
                let work = try await world.makeGroup("work", of: world.ada)
                _ = try await world.makeGroup("home", of: world.ada)
                for name in ["", " ", String(repeating: "x", count: 65), "a\0"] {
                    #expect(await status { _ = try await world.makeGroup(name, of: world.ada) }?.code == .invalidArgument)
                }
                #expect(await status { _ = try await world.makeGroup("work", of: world.ada) }?.code == .alreadyExists)
                let taken = await status {
                    _ = try await world.friendships.renameFriendGroup(
                        .with { ($0.id, $0.name) = (work.id, "home") }, metadata: .bearer(world.ada))
                }
                #expect(taken?.code == .alreadyExists)
                let foreign = await status {
                    _ = try await world.friendships.renameFriendGroup(
                        .with { ($0.id, $0.name) = (work.id, "mine") }, metadata: .bearer(world.grace))
                }
                #expect(foreign?.code == .notFound)
                for ids in [[], [work.id], [work.id, work.id], [work.id, 1], Array(1...1000)] as [[Int64]] {
                    let error = await status {
                        _ = try await world.friendships.reorderFriendGroups(
                            .with { $0.ids = ids }, metadata: .bearer(world.ada))
                    }
                    #expect(error?.code == .invalidArgument)
                }
                #expect(try await world.groups(of: world.ada) == ["work", "home"])
                #expect(try await world.changes(of: world.ada).count == 2)
            }
        }

        @Test func friend__is_moved_and_remarked_in_secret() async throws {
            try await withFriendships { world in
                try await world.befriend(world.ada, world.grace)
                let group = try await world.makeGroup("work", of: world.ada)
                let friend = try await world.friendships.updateFriend(
                    .with { ($0.userID, $0.groupID, $0.remark) = (world.grace, group.id, "boss") },
                    metadata: .bearer(world.ada))
                #expect(friend.groupID == group.id)
                #expect(friend.remark == "boss")
                let listed = try await world.friendships.listFriends(.init(), metadata: .bearer(world.ada)).friends
                #expect(listed == [friend])
                let mine = try await world.changes(of: world.ada)
                #expect(mine.map(\.change) == [.requested, .accepted, .groupsChanged, .moved, .remarked])
                #expect(mine[3].friend == friend)
                #expect(try await world.changes(of: world.grace).map(\.change) == [.requested, .accepted])
                #expect(try await world.relation(of: world.grace, to: world.ada).groupID == group.id)
                #expect(try await world.relation(of: world.ada, to: world.grace).groupID == 0)
                // The same again changes nothing.
                _ = try await world.move(world.grace, to: group.id, by: world.ada)
                #expect(try await world.changes(of: world.ada).count == 5)
            }
        }

        @Test func friend__is_moved_only_where_there_is_a_group_and_a_friend() async throws {
            try await withFriendships { world in
                try await world.befriend(world.ada, world.grace)
                let theirs = try await world.makeGroup("theirs", of: world.grace)
                let codes = [
                    await status { _ = try await world.move(world.grace, to: theirs.id, by: world.ada) },
                    await status { _ = try await world.move(world.mary, to: 0, by: world.ada) },
                    await status { _ = try await world.move(world.grace, to: -1, by: world.ada) },
                    await status {
                        _ = try await world.friendships.updateFriend(
                            .with { $0.userID = world.grace }, metadata: .bearer(world.ada))
                    },
                    await status {
                        _ = try await world.friendships.updateFriend(
                            .with { ($0.userID, $0.remark) = (world.grace, String(repeating: "x", count: 65)) },
                            metadata: .bearer(world.ada))
                    },
                ].map { $0?.code }
                #expect(codes == [.notFound, .notFound, .invalidArgument, .invalidArgument, .invalidArgument])
            }
        }

        @Test func deleted_group__leaves_its_friends_in_none() async throws {
            try await withFriendships { world in
                try await world.befriend(world.ada, world.grace)
                try await world.befriend(world.ada, world.mary)
                let work = try await world.makeGroup("work", of: world.ada)
                let home = try await world.makeGroup("home", of: world.ada)
                _ = try await world.move(world.grace, to: work.id, by: world.ada)
                _ = try await world.move(world.mary, to: home.id, by: world.ada)
                let before = try await world.sync(world.ada, since: 0).version
                _ = try await world.friendships.deleteFriendGroup(.with { $0.id = work.id }, metadata: .bearer(world.ada))
                let changes = try await world.sync(world.ada, since: before)
                #expect(changes.friends.map(\.userID) == [world.grace])
                #expect(changes.friends.map(\.groupID) == [0])
                #expect(changes.groupsChanged)
                #expect(changes.groups == [home])
                let again = await status {
                    _ = try await world.friendships.deleteFriendGroup(
                        .with { $0.id = work.id }, metadata: .bearer(world.ada))
                }
                #expect(again?.code == .notFound)
                #expect(try await world.makeGroup("work", of: world.ada).id != work.id)
                #expect(try await world.groups(of: world.ada) == ["home", "work"])
                try await world.expectCountsToAgree()
            }
        }
    }
}
