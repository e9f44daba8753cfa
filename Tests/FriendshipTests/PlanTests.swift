// How Postgres runs every hot query when one user has 5,000 friends and 10,000 pending requests among many others: by
// index, never by reading a table.
import Postgres
import TestSupport
import Testing

@testable import Friendship

extension FriendshipServiceTests {
    @Suite struct PlanTests {
        private static let fill = """
            INSERT INTO friendship.friends (user_id, friend_id) SELECT 1, n FROM generate_series(2, 5001) n;
            INSERT INTO friendship.friends (user_id, friend_id) SELECT n, 1 FROM generate_series(2, 5001) n;
            INSERT INTO friendship.friends (user_id, friend_id)
                SELECT n, n + m FROM generate_series(10001, 14000) n, generate_series(1, 10) m;
            INSERT INTO friendship.requests (sender, recipient, message)
                SELECT n, 1, '' FROM generate_series(10001, 20000) n;
            INSERT INTO friendship.requests (sender, recipient, message)
                SELECT n, n + 1, '' FROM generate_series(30001, 60000) n;
            INSERT INTO friendship.blocks (user_id, peer_id)
                SELECT n / 10, 1000000 + n FROM generate_series(1, 40000) n;
            INSERT INTO friendship.owners (user_id) SELECT n FROM generate_series(1, 40000) n;
            INSERT INTO friendship.changes (user_id, kind, peer_id, version)
                SELECT user_id, 1, friend_id, row_number() OVER (PARTITION BY user_id) FROM friendship.friends;
            INSERT INTO friendship.groups (user_id, name, position)
                SELECT n / 5, 'g' || n, 0 FROM generate_series(1, 40000) n;
            ANALYZE friendship.friends, friendship.requests, friendship.blocks, friendship.owners, friendship.changes,
                friendship.groups;
            """

        @Test func hot_queries__read_by_index() async throws {
            try await withFriendships { world in
                try await world.database.client.withConnection { try await $0.execute(script: Self.fill) }
                let page = try Page(limit: 200, default: 200, maximum: 200, cursor: 0, named: "after")
                let proposal = try Proposal(from: 1, to: 30_001, message: "")
                var queries: [(String, PostgresQuery)] = [
                    ("version", Queries.version(of: 1)),
                    ("friends", Queries.friends(of: 1, on: page)),
                    ("requests", Queries.requests(of: 1, on: page)),
                    ("blocks", Queries.blocks(of: 1, on: page)),
                    ("groups", Queries.groups(of: 1)),
                    ("new groups", Queries.groups(of: 1, newerThan: 0)),
                    ("relations", Queries.relations(of: 1, to: [2, 3, 99])),
                    ("changes", Queries.changes(of: 1, on: page)),
                    ("due", Queries.due(except: [1], limit: 500)),
                ]
                for (index, query) in Queries.standing(of: proposal).enumerated() {
                    queries.append(("standing \(index)", query))
                }
                for (name, query) in queries {
                    let rows = try await world.database.client.query(query.explained)
                    let plan = try rows.map { try $0.decode(String.self) }
                    let scans = plan.filter { $0.contains("Seq Scan") }
                    #expect(scans.isEmpty, "\(name): \(plan.joined(separator: "\n"))")
                    #expect(plan.contains { $0.contains("Index") }, "\(name): \(plan.joined(separator: "\n"))")
                }
            }
        }
    }
}
