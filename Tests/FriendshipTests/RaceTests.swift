// Two at once, on a real server: whatever the order, the outcome is one that some order explains, and each change is
// told once.
import Contract
import GRPCCore
import TestSupport
import Testing

extension FriendshipServiceTests {
    @Suite struct RaceTests {
        private static let rounds = 12

        @Test func crossing_requests__make_one_friendship() async throws {
            try await withFriendships { world in
                for round in 0..<Self.rounds {
                    let other = try await world.database.makeUser("user\(round)")
                    let codes = await together([
                        { _ = try await world.request(world.ada, other) },
                        { _ = try await world.request(other, world.ada) },
                    ])
                    #expect(codes == [nil, nil])
                    #expect(try await world.friends(of: other) == [world.ada])
                    #expect(try await world.pending(of: other).isEmpty)
                    #expect(try await world.changes(of: other).map(\.change) == [.requested, .accepted])
                }
                #expect(try await world.changes(of: world.ada).count == 2 * Self.rounds)
            }
        }

        @Test func the_same_request_many_times__is_stored_once() async throws {
            try await withFriendships { world in
                let ids = try await withThrowingTaskGroup(of: Int64.self) { group in
                    for _ in 0..<16 {
                        group.addTask { try await world.request(world.ada, world.grace).id }
                    }
                    return try await group.reduce(into: Set()) { $0.insert($1) }
                }
                #expect(ids.count == 1)
                #expect(try await world.changes(of: world.grace).count == 1)
            }
        }

        @Test func accept_many_times__takes_effect_once() async throws {
            try await withFriendships { world in
                let request = try await world.request(world.ada, world.grace)
                let codes = await together(
                    Array(repeating: { _ = try await world.accept(request.id, by: world.grace) }, count: 16))
                #expect(codes.count { $0 == nil } == 1)
                #expect(codes.count { $0 == .notFound } == 15)
                #expect(try await world.changes(of: world.ada).map(\.change) == [.requested, .accepted])
            }
        }

        @Test func accept_against_reject__has_one_winner() async throws {
            try await withFriendships { world in
                for round in 0..<Self.rounds {
                    let other = try await world.database.makeUser("user\(round)")
                    let request = try await world.request(world.ada, other)
                    let codes = await together([
                        { _ = try await world.accept(request.id, by: other) },
                        { _ = try await world.reject(request.id, by: other) },
                    ])
                    #expect(codes == [nil, .notFound] || codes == [.notFound, nil])
                    let accepted = codes[0] == nil
                    #expect(try await world.friends(of: other) == (accepted ? [world.ada] : []))
                    #expect(
                        try await world.changes(of: other).map(\.change)
                            == [.requested, accepted ? .accepted : .rejected])
                }
            }
        }

        @Test func accept_against_remove__leaves_both_sides_agreeing() async throws {
            try await withFriendships { world in
                for round in 0..<Self.rounds {
                    let other = try await world.database.makeUser("user\(round)")
                    let request = try await world.request(world.ada, other)
                    let codes = await together([
                        { _ = try await world.accept(request.id, by: other) },
                        { try await world.remove(other, by: world.ada) },
                    ])
                    #expect(codes[0] == nil)
                    let removed = codes[1] == nil
                    #expect(removed || codes[1] == .notFound)
                    #expect(try await world.friends(of: other) == (removed ? [] : [world.ada]))
                    #expect(try await world.friends(of: world.ada).contains(other) == !removed)
                    #expect(
                        try await world.changes(of: other).map(\.change)
                            == [.requested, .accepted] + (removed ? [.removed] : []))
                }
            }
        }

        @Test func removal_by_both__happens_once() async throws {
            try await withFriendships { world in
                try await world.befriend(world.ada, world.grace)
                let codes = await together([
                    { try await world.remove(world.grace, by: world.ada) },
                    { try await world.remove(world.ada, by: world.grace) },
                ])
                #expect(codes == [nil, .notFound] || codes == [.notFound, nil])
                #expect(try await world.changes(of: world.ada).count == 3)
            }
        }

        @Test func everyone_asking_everyone__ends_with_everyone_friends() async throws {
            try await withFriendships { world in
                var users = [world.ada, world.grace, world.mary]
                for index in 0..<5 { users.append(try await world.database.makeUser("user\(index)")) }
                var calls: [@Sendable () async throws -> Void] = []
                for from in users {
                    for to in users where to != from { calls.append { _ = try await world.request(from, to) } }
                }
                let codes = await together(calls.shuffled())
                #expect(codes.allSatisfy { $0 == nil })
                for user in users {
                    #expect(try await world.friends(of: user) == users.filter { $0 != user })
                    let changes = try await world.changes(of: user)
                    #expect(changes.count { $0.change == .requested } == users.count - 1)
                    #expect(changes.count { $0.change == .accepted } == users.count - 1)
                }
            }
        }
    }
}
