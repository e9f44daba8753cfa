// Profiles in Postgres (deploy/migrations/0003_profile.sql, 0020_profile_fields.sql). The contract's Profile is the
// model; what it hides from whom is the handler's to apply. No constraint of the table can fail for what the rules let
// through, so none is an answer: a violation is our own mistake.
import Cache
import Contract
import Foundation
import Postgres
import ServiceKit
import SwiftProtobuf

struct ProfileStore: Sendable {
    /// `revision` counts every change, `version` those that everyone may see.
    private static let columns: StaticString = """
        user_id, username, nickname, signature, version, updated_at, region, to_char(birthday, 'YYYY-MM-DD'),
        custom_keys, custom_values, status, avatar, revision
        """

    let postgres: PostgresClient
    var cache = Cache.off

    // MARK: Reading

    /// A whole profile and its revision, which every change of it raises. last_seen is kept apart and not in it.
    func profile(of user: Int64) async throws -> (value: Ringway_V1_Profile, version: Int64) {
        if let found = try await profiles(of: [user]).first { return found }
        // Who asks for their own profile has one, however new it is.
        guard let found = try await loadProfiles(of: [user])[user] else { throw ProfileError.noSuchUser }
        return (found.value, found.version)
    }

    /// Those of the users that exist, in the order of their ids.
    func profiles(of users: [Int64]) async throws -> [(value: Ringway_V1_Profile, version: Int64)] {
        let found = try await cache.read(ProfileFacts.profile, of: users) { try await loadProfiles(of: $0) }
        return found.sorted { $0.key < $1.key }.map { ($0.value.value, $0.value.version) }
    }

    func lastSeen(of users: [Int64]) async throws -> [Int64: Google_Protobuf_Timestamp] {
        try await cache.read(ProfileFacts.lastSeen, of: users) { users in
            try await loadLastSeen(of: users).mapValues { CachedValue($0, version: $0.microseconds) }
        }.mapValues(\.value)
    }

    private func loadProfiles(of users: [Int64]) async throws -> [Int64: CachedValue<Ringway_V1_Profile>] {
        let rows = try await postgres.query(
            "SELECT \(unescaped: Self.columns) FROM profile.profiles WHERE user_id = ANY(\(users))")
        let pairs = try rows.map { row in
            let (profile, version) = try Self.profile(row)
            return (profile.userID, CachedValue(profile, version: version))
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    private func loadLastSeen(of users: [Int64]) async throws -> [Int64: Google_Protobuf_Timestamp] {
        let rows = try await postgres.query("SELECT user_id, at FROM profile.last_seen WHERE user_id = ANY(\(users))")
        let pairs = try rows.map { row in
            let (user, at) = try row.decode(Int64.self, Date.self)
            return (user, Google_Protobuf_Timestamp(microsecondsOf: at))
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    // MARK: Searching

    /// The next users whose username begins with the query. The operators are those of text_pattern_ops, which also
    /// serve when the planner does not know the query (LIKE would not): the order is that of the bytes.
    func usernames(_ search: Search, after name: String, limit: Int) async throws -> [(user: Int64, username: String)] {
        let rows = try await postgres.query(
            """
            SELECT user_id, username FROM profile.profiles
            WHERE username ~>=~ \(search.query) AND username ~<~ \(search.query + "\u{10FFFF}") AND username ~>~ \(name)
            ORDER BY username USING ~<~ LIMIT \(limit)
            """)
        return try rows.map { try $0.decode(Int64.self, String.self) }
    }

    /// How many users with a matching nickname are looked at: a query that more of them match has to be longer.
    private static let nicknamesMax = 2000

    /// The next users whose nickname contains the query and whose username does not begin with it.
    ///
    /// What matches is planned as if all of it were wanted, which makes Postgres take the index unless most users match; it
    /// is read only as far as the limit. (To a limit that it sees Postgres reads the table from its beginning, in the
    /// hope that matches lie everywhere.) What no limit bounds are the entries of the index, and
    /// rows that have all trigrams of the query and not the query: time does.
    func nicknames(
        _ search: Search, after user: Int64, limit: Int, patience: Duration
    ) async throws -> [Int64] {
        do {
            let rows = try await postgres.query(
                """
                WITH matching AS MATERIALIZED (
                    SELECT user_id, username FROM profile.profiles
                    WHERE lower(nickname) LIKE '%' || lower(\(search.pattern)) || '%'
                )
                SELECT user_id FROM (SELECT * FROM matching LIMIT \(Self.nicknamesMax)) AS looked_at
                WHERE user_id > \(user)
                    AND NOT (username ~>=~ \(search.query) AND username ~<~ \(search.query + "\u{10FFFF}"))
                ORDER BY user_id LIMIT \(limit)
                """, timeout: patience)
            return try rows.map { try $0.decode(Int64.self) }
        } catch let error as PostgresError where error.code == .timeout {
            throw ProfileError.queryTooCommon
        }
    }

    // MARK: Changing

    /// Applies the change and appends its event to the user's log, both or neither.
    func update(_ change: ProfileChange, of user: Int64) async throws -> Ringway_V1_Profile {
        defer { cache.drop([ProfileFacts.profile.kind.key(user)]) }
        return try await postgres.transaction { connection in
            // The row's lock makes of two updates for one version a winner and a loser: the second one looks at the
            // version again when it has waited for the first. (The casts say that NULL is meant for what is absent.)
            let rows = try await connection.query(
                """
                UPDATE profile.profiles
                SET nickname = COALESCE(\(change.nickname as String?), nickname),
                    signature = COALESCE(\(change.signature as String?), signature),
                    region = COALESCE(\(change.region as String?), region),
                    birthday = CASE WHEN \(change.birthday != nil)
                        THEN nullif(\(change.birthday as String?), '')::date ELSE birthday END,
                    custom_keys = COALESCE(\(change.custom?.keys as [String]?), custom_keys),
                    custom_values = COALESCE(\(change.custom?.values as [String]?), custom_values),
                    status = COALESCE(\((change.status?.rawValue).map(Int16.init) as Int16?), status),
                    version = version + \(change.changesNothingButStatus ? 0 : 1 as Int64),
                    updated_at = CASE WHEN \(change.changesNothingButStatus) THEN updated_at ELSE now() END,
                    revision = revision + 1
                WHERE user_id = \(user) AND version = COALESCE(\(change.expectedVersion as Int64?), version)
                RETURNING \(unescaped: Self.columns)
                """)
            guard let row = rows.first else { throw try await Self.refusal(of: user, on: connection) }
            return try await Self.announce(row, on: connection)
        }
    }

    /// Why an update touched no row.
    private static func refusal(of user: Int64, on connection: PostgresConnection) async throws -> ProfileError {
        let rows = try await connection.query("SELECT profile.user_exists(\(user))")
        return try rows[0].decode(Bool.self) ? .outdated : .noSuchUser
    }

    /// The last sessions of these users have just ended.
    func recordLastSeen(_ users: [Int64]) async throws {
        defer { cache.drop(users.map { ProfileFacts.lastSeen.kind.key($0) }) }
        // In the order of the ids, so that two writers never wait for each other in a circle.
        try await postgres.query(
            """
            INSERT INTO profile.last_seen (user_id, at)
            SELECT user_id, now() FROM profile.profiles
            WHERE user_id = ANY(\(users)) AND status <> \(Int16(Ringway_V1_Profile.Status.invisible.rawValue))
            ORDER BY user_id
            ON CONFLICT (user_id) DO UPDATE SET at = excluded.at WHERE last_seen.at < excluded.at
            """)
    }

    // MARK: Avatars

    /// Keeps the picture as the user's avatar; the one before is gone.
    func setAvatar(_ picture: AvatarPicture, of user: Int64) async throws -> Ringway_V1_Profile {
        defer { cache.drop([ProfileFacts.profile.kind.key(user)]) }
        return try await postgres.transaction { connection in
            let answers = try await connection.pipeline([
                Self.point(user, at: picture.hash),
                """
                INSERT INTO profile.avatars (user_id, hash, large, small)
                VALUES (\(user), \(picture.hash), \(picture.large), \(picture.small))
                ON CONFLICT (user_id) DO UPDATE
                    SET hash = excluded.hash, large = excluded.large, small = excluded.small
                """,
            ])
            guard let row = answers[0].first else { throw ProfileError.noSuchUser }
            return try await Self.announce(row, on: connection)
        }
    }

    func removeAvatar(of user: Int64) async throws -> Ringway_V1_Profile {
        defer { cache.drop([ProfileFacts.profile.kind.key(user)]) }
        return try await postgres.transaction { connection in
            let answers = try await connection.pipeline([
                Self.point(user, at: nil),
                "DELETE FROM profile.avatars WHERE user_id = \(user)",
            ])
            if let row = answers[0].first { return try await Self.announce(row, on: connection) }
            let rows = try await connection.query(
                "SELECT \(unescaped: Self.columns) FROM profile.profiles WHERE user_id = \(user)")
            guard let row = rows.first else { throw ProfileError.noSuchUser }
            return try Self.profile(row).value
        }
    }

    /// Changes nothing when the profile points there already.
    private static func point(_ user: Int64, at hash: [UInt8]?) -> PostgresQuery {
        """
        UPDATE profile.profiles
        SET avatar = \(hash as [UInt8]?), version = version + 1, revision = revision + 1, updated_at = now()
        WHERE user_id = \(user) AND (avatar IS NOT NULL OR \(hash != nil))
        RETURNING \(unescaped: columns)
        """
    }

    func avatar(_ hash: [UInt8], isSmall: Bool) async throws -> Data? {
        let column: StaticString = isSmall ? "small" : "large"
        let rows = try await postgres.query(
            "SELECT \(unescaped: column) FROM profile.avatars WHERE hash = \(hash) LIMIT 1")
        return try rows.first?.decode(Data.self)
    }

    // MARK: Rows

    private static func announce(
        _ row: PostgresRow, on connection: PostgresConnection
    ) async throws -> Ringway_V1_Profile {
        let profile = try profile(row).value
        let event = Ringway_V1_Event.with { $0.profile.profile = profile }
        try await connection.query(.appendToInbox([profile.userID: event]))
        return profile
    }

    private static func profile(_ row: PostgresRow) throws -> (value: Ringway_V1_Profile, version: Int64) {
        let (
            user, username, nickname, signature, version, updatedAt, region, birthday, keys, values, status, avatar,
            revision
        ) = try row.decode(
            Int64.self, String.self, String.self, String.self, Int64.self, Date.self, String.self, String?.self,
            [String].self, [String].self, Int16.self, Data?.self, Int64.self)
        let profile = Ringway_V1_Profile.with {
            $0.userID = user
            $0.username = username
            $0.nickname = nickname
            $0.signature = signature
            $0.version = version
            $0.updatedAt = Google_Protobuf_Timestamp(microsecondsOf: updatedAt)
            $0.region = region
            $0.birthday = birthday ?? ""
            $0.custom = Dictionary(zip(keys, values), uniquingKeysWith: { first, _ in first })
            $0.status = .init(rawValue: Int(status)) ?? .unspecified
            $0.avatar = avatar.map(AvatarPicture.text) ?? ""
        }
        return (profile, revision)
    }
}

extension Google_Protobuf_Timestamp {
    fileprivate var microseconds: Int64 { seconds * 1_000_000 + Int64(nanos) / 1000 }
}
