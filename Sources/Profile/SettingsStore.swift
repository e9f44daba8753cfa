// Settings in Postgres (deploy/migrations/0021_settings.sql). A user without rows has the defaults. No constraint of the
// tables can fail for what the rules let through.
import Cache
import Contract
import Foundation
import Postgres
import ServiceKit
import SwiftProtobuf

struct SettingsStore: Sendable {
    let postgres: PostgresClient
    var cache = Cache.off

    // MARK: Reading

    /// Whole settings and their version, which every change of them raises.
    func settings(of user: Int64) async throws -> (value: UserSettings, version: Int64) {
        let settings = try await chosen(by: [user])[user] ?? UserSettings()
        return (settings, settings.version)
    }

    /// The same as they are answered, if they may be cached.
    func cachedSettings(of user: Int64) async throws -> EncodedMessage<Ringway_V1_Settings>? {
        guard cache.isOn else { return nil }
        return try await stored(of: [user])[user]?.value.whole ?? StoredSettings.untouched.get()
    }

    /// As the database has them, whatever is cached.
    func newestSettings(of user: Int64) async throws -> UserSettings {
        try await load(of: [user])[user] ?? UserSettings()
    }

    /// Of those users who have chosen something.
    private func chosen(by users: [Int64]) async throws -> [Int64: UserSettings] {
        guard cache.isOn else { return try await load(of: users) }
        return try await stored(of: users).mapValues { try $0.value.settings() }
    }

    private func stored(of users: [Int64]) async throws -> [Int64: CachedValue<StoredSettings>] {
        try await cache.read(ProfileFacts.settings, of: users) { users in
            try await load(of: users).mapValues { CachedValue(try StoredSettings($0), version: $0.version) }
        }
    }

    /// In one statement, so that both tables are seen as they were at one moment.
    private func load(of users: [Int64]) async throws -> [Int64: UserSettings] {
        try Self.settings(await postgres.query(Self.wholeOf(users)))
    }

    /// The audience of each of these users for one field, in the order of their ids; without those who do not exist.
    func audiences(
        for field: PrivacyField, of users: [Int64]
    ) async throws -> [(owner: Int64, audience: Audience)] {
        let rows = try await postgres.query(
            """
            SELECT profiles.user_id, privacy.audience, privacy.group_id
            FROM profile.profiles LEFT JOIN LATERAL (
                SELECT audience, group_id FROM profile.privacy
                WHERE user_id = profiles.user_id AND field = \(field.rawValue) LIMIT 1
            ) AS privacy ON true
            WHERE profiles.user_id = ANY(\(users)) ORDER BY profiles.user_id
            """)
        return try rows.map { row in
            let (owner, audience, group) = try row.decode(Int64.self, Int16?.self, Int64?.self)
            return (owner, audience.map { Audience(stored: $0, group: group ?? 0) } ?? field.fallback)
        }
    }

    /// All audiences of these users; who has chosen none is left out.
    func privacy(of users: [Int64]) async throws -> [Int64: PrivacyRules] {
        try await chosen(by: users).mapValues(\.privacy)
    }

    private static func wholeOf(_ users: [Int64]) -> PostgresQuery {
        """
        SELECT settings.user_id, settings.version, settings.privacy_version, settings.push_version, settings.updated_at,
               settings.push, privacy.field, privacy.audience, privacy.group_id
        FROM profile.settings LEFT JOIN LATERAL (
            SELECT field, audience, group_id FROM profile.privacy WHERE user_id = settings.user_id OFFSET 0
        ) AS privacy ON true
        WHERE settings.user_id = ANY(\(users))
        """
    }

    /// Of the rows of `wholeOf`: one a field that was chosen, or one alone.
    private static func settings(_ rows: PostgresRows) throws -> [Int64: UserSettings] {
        var found: [Int64: UserSettings] = [:]
        for row in rows {
            let (user, version, privacyVersion, pushVersion, updatedAt, push, field, audience, group) = try row.decode(
                Int64.self, Int64.self, Int64.self, Int64.self, Date.self, Data.self, Int16?.self, Int16?.self, Int64?.self)
            var settings = found[user] ?? UserSettings()
            settings.version = version
            settings.privacyVersion = privacyVersion
            settings.pushVersion = pushVersion
            settings.updatedAt = updatedAt
            settings.push = try Ringway_V1_Push(serializedBytes: push)
            if let field = field.flatMap(PrivacyField.init(rawValue:)), let audience {
                settings.privacy[field] = Audience(stored: audience, group: group ?? 0)
            }
            found[user] = settings
        }
        return found
    }

    // MARK: Changing

    /// Applies the change and appends its event to the user's log, both or neither.
    func update(_ change: SettingsChange, of user: Int64) async throws -> UserSettings {
        defer { cache.drop([ProfileFacts.settings.kind.key(user)]) }
        return try await postgres.transaction { connection in
            // The profile's row is the lock of the user's settings, which may have no row yet. It also says that the
            // user exists. NO KEY: nobody who only refers to it has to wait.
            let answers = try await connection.pipeline([
                "SELECT FROM profile.profiles WHERE user_id = \(user) FOR NO KEY UPDATE",
                Self.wholeOf([user]),
            ])
            guard answers[0].count == 1 else { throw ProfileError.noSuchUser }
            let settings = try Self.settings(answers[1])[user] ?? UserSettings()
            guard change.fits(version: settings.version) else { throw ProfileError.outdatedSettings }
            guard var changed = settings.changed(by: change) else { return settings }
            changed.updatedAt = try await Self.write(changed, change, of: user, on: connection)
            let news = changed.message(since: settings.version)
            try await connection.query(.appendToInbox([user: .with { $0.settings.settings = news }]))
            return changed
        }
    }

    private static func write(
        _ settings: UserSettings, _ change: SettingsChange, of user: Int64, on connection: PostgresConnection
    ) async throws -> Date {
        let push: [UInt8] = try settings.push.serializedBytes()
        let fields = Array(change.audiences.keys)
        let audiences = fields.map { change.audiences[$0] ?? $0.fallback }
        let answers = try await connection.pipeline([
            """
            INSERT INTO profile.settings (user_id, version, privacy_version, push_version, push)
            VALUES (\(user), \(settings.version), \(settings.privacyVersion), \(settings.pushVersion), \(push))
            ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, privacy_version = excluded.privacy_version,
                push_version = excluded.push_version, push = excluded.push, updated_at = now()
            RETURNING updated_at
            """,
            """
            INSERT INTO profile.privacy (user_id, field, audience, group_id)
            SELECT \(user), field, audience, group_id
            FROM unnest(\(fields.map(\.rawValue)), \(audiences.map(\.stored)), \(audiences.map(\.group)))
                AS chosen (field, audience, group_id)
            ON CONFLICT (user_id, field) DO UPDATE SET audience = excluded.audience, group_id = excluded.group_id
            """,
        ])
        return try answers[0][0].decode(Date.self)
    }
}

extension Audience {
    /// From profile.privacy. What this program does not know is nobody: a newer one may have meant something narrower.
    init(stored kind: Int16, group: Int64) {
        switch Ringway_V1_Audience.Kind(rawValue: Int(kind)) {
        case .everyone: self = .everyone
        case .friends: self = .friends
        case .group: self = .group(group)
        default: self = .nobody
        }
    }

    fileprivate var stored: Int16 { Int16(message.kind.rawValue) }
    fileprivate var group: Int64 { message.groupID }
}
