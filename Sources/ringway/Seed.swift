// `ringway seed`: fills a database with users, friendships and requests, for load runs and for looking at plans on
// tables of a real size. Everything is made inside Postgres, a batch a transaction; nothing of it goes through the
// services, so the logs of seeded users are empty.
//
// User n is called seed0000000 + n. Each is a friend of the next ones and has asked the ones after those; the first user
// is the one with very many of both.
import ArgumentParser
import Auth
import Foundation
import Postgres

struct Seed: SettingsCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fill an empty database with users, friends and requests.",
        discussion: "All seeded users have the password that --password names.")

    @Option(help: "How many users.")
    var users = 1_000_000

    @Option(help: "Friends of each user; even.")
    var friends = 10

    @Option(help: "Pending requests that each user has sent.")
    var requests = 2

    @Option(help: "Friends of the first user.")
    var mostFriends = 5000

    @Option(help: "Pending requests that the first user has received.")
    var mostRequests = 10_000

    @Option(help: "Users a transaction.")
    var batch = 20_000

    @Option(help: "The password of all of them.")
    var password = "seeded password"

    @Flag(help: "Also into a database that has users already.")
    var force = false

    @Argument(parsing: .captureForPassthrough, help: "--postgres-url; see ringway serve --help.")
    var arguments: [String] = []

    func validate() throws {
        guard users >= 1, users < 10_000_000 else { throw ValidationError("--users must be 1 to 9999999") }
        guard friends >= 0, friends.isMultiple(of: 2), friends <= 1000, requests >= 0, requests <= 1000 else {
            throw ValidationError("--friends must be even and, like --requests, 0 to 1000")
        }
        guard users > friends + requests || friends + requests == 0 else {
            throw ValidationError("--users must be more than --friends and --requests together")
        }
        guard mostFriends >= 0, mostRequests >= 0, batch >= 1 else {
            throw ValidationError("--most-friends and --most-requests must not be negative, --batch at least 1")
        }
    }

    func run() async throws {
        try await complaining {
            let database = Database(try settings())
            try await database.requireCurrent()
            let begun = ContinuousClock.now
            try await fill(database.client)
            let took = ContinuousClock.now - begun
            print("seeded \(users) users in \(took.components.seconds) s; log in as \(Self.name(0)) to \(Self.name(users - 1))")
            await database.shutdown()
        }
    }

    private static func name(_ number: Int) -> String {
        let digits = String(number)
        return "seed" + String(repeating: "0", count: 7 - digits.count) + digits
    }

    // MARK: Filling

    private func fill(_ client: PostgresClient) async throws {
        let found = try await client.query(
            """
            SELECT EXISTS (SELECT FROM auth.accounts),
                   EXISTS (SELECT FROM auth.accounts WHERE username LIKE 'seed_______')
            """)
        let (hasUsers, isSeeded) = try found[0].decode(Bool.self, Bool.self)
        if isSeeded { throw Complaint(line: "the database has been seeded already") }
        if hasUsers, !force { throw Complaint(line: "the database has users; --force seeds it all the same") }
        let hash = try await PasswordHasher(threads: 1, queueLimit: 1).encodedHash(of: password)
        try await client.withConnection { connection in
            // The numbers of the users, which nothing else needs.
            try await connection.execute(
                script: "CREATE TEMPORARY TABLE seeded (n bigint PRIMARY KEY, id bigint NOT NULL)")
            try await inBatches("users", on: connection) { makeUsers($0, hash) }
            try await connection.execute(script: "ANALYZE seeded")
            try await inBatches("friends and requests", on: connection) { relate($0) }
            try await once(relateTheFirst(), on: connection)
            try await inBatches("versions and counts", on: connection) { count($0) }
            try await connection.execute(script: "DROP TABLE seeded; ANALYZE")
        }
    }

    private static let patience: Duration = .seconds(600)

    private func inBatches(
        _ what: String, on connection: PostgresConnection, _ queries: (Range<Int>) -> [PostgresQuery]
    ) async throws {
        for start in stride(from: 0, to: users, by: batch) {
            try await once(queries(start..<min(start + batch, users)), on: connection)
            FileHandle.standardError.write(Data("\r\(what): \(min(start + batch, users)) ".utf8))
        }
        FileHandle.standardError.write(Data("\n".utf8))
    }

    private func once(_ queries: [PostgresQuery], on connection: PostgresConnection) async throws {
        _ = try await connection.pipeline(queries, timeout: Self.patience)
    }

    /// As registering does: account, profile and log.
    private func makeUsers(_ numbers: Range<Int>, _ hash: String) -> [PostgresQuery] {
        let (first, last) = (Int64(numbers.lowerBound), Int64(numbers.upperBound - 1))
        return [
            """
            INSERT INTO seeded (n, id)
            SELECT n, public.ringway_next_id() FROM generate_series(\(first), \(last)) AS n
            """,
            """
            INSERT INTO auth.accounts (id, username, password_hash)
            SELECT id, 'seed' || lpad(n::text, 7, '0'), \(hash) FROM seeded WHERE n BETWEEN \(first) AND \(last)
            """,
            """
            SELECT profile.create(id, 'seed' || lpad(n::text, 7, '0')), inbox.open(id)
            FROM seeded WHERE n BETWEEN \(first) AND \(last)
            """,
        ]
    }

    private func relate(_ numbers: Range<Int>) -> [PostgresQuery] {
        let (first, last) = (Int64(numbers.lowerBound), Int64(numbers.upperBound - 1))
        let (half, total) = (Int64(friends / 2), Int64(users))
        return [
            """
            INSERT INTO friendship.friends (user_id, friend_id)
            SELECT CASE side WHEN 0 THEN a.id ELSE b.id END, CASE side WHEN 0 THEN b.id ELSE a.id END
            FROM seeded a, generate_series(1, \(half)) AS step, generate_series(0, 1) AS side, seeded b
            WHERE a.n BETWEEN \(first) AND \(last) AND b.n = (a.n + step) % \(total)
            """,
            """
            INSERT INTO friendship.requests (sender, recipient, message)
            SELECT a.id, b.id, 'hello'
            FROM seeded a, generate_series(\(half) + 1, \(half) + \(Int64(requests))) AS step, seeded b
            WHERE a.n BETWEEN \(first) AND \(last) AND b.n = (a.n + step) % \(total)
            ON CONFLICT DO NOTHING
            """,
        ]
    }

    /// The users in the middle are near enough to nobody's neighbours to be strangers to the first one.
    private func relateTheFirst() -> [PostgresQuery] {
        let reach = Int64(friends + requests)
        let lastFriend = min(reach + Int64(mostFriends), Int64(users) - reach)
        let lastSender = min(lastFriend + Int64(mostRequests), Int64(users) - reach)
        return [
            """
            INSERT INTO friendship.friends (user_id, friend_id)
            SELECT CASE side WHEN 0 THEN a.id ELSE b.id END, CASE side WHEN 0 THEN b.id ELSE a.id END
            FROM seeded a, generate_series(0, 1) AS side, seeded b
            WHERE a.n = 0 AND b.n > \(reach) AND b.n <= \(lastFriend) - \(Int64(friends))
            """,
            """
            INSERT INTO friendship.requests (sender, recipient, message)
            SELECT b.id, a.id, 'hello' FROM seeded a, seeded b
            WHERE a.n = 0 AND b.n > \(lastFriend) AND b.n <= \(lastSender)
            """,
        ]
    }

    private func count(_ numbers: Range<Int>) -> [PostgresQuery] {
        let (first, last) = (Int64(numbers.lowerBound), Int64(numbers.upperBound - 1))
        return [
            """
            INSERT INTO friendship.changes (user_id, kind, peer_id, version)
            SELECT s.id, p.kind, p.peer, row_number() OVER (PARTITION BY s.id ORDER BY p.kind, p.peer)
            FROM seeded s, LATERAL (
                SELECT 1 AS kind, friend_id AS peer FROM friendship.friends WHERE user_id = s.id
                UNION ALL SELECT 3, recipient FROM friendship.requests WHERE sender = s.id
                UNION ALL SELECT 3, sender FROM friendship.requests WHERE recipient = s.id
            ) AS p
            WHERE s.n BETWEEN \(first) AND \(last)
            """,
            """
            INSERT INTO friendship.owners (user_id, friends, sent, received, version)
            SELECT id, friends, sent, received, friends + sent + received
            FROM (SELECT id,
                    (SELECT count(*) FROM friendship.friends WHERE user_id = s.id) AS friends,
                    (SELECT count(*) FROM friendship.requests WHERE sender = s.id) AS sent,
                    (SELECT count(*) FROM friendship.requests WHERE recipient = s.id) AS received
                  FROM seeded s WHERE n BETWEEN \(first) AND \(last)) AS counted
            """,
        ]
    }
}
