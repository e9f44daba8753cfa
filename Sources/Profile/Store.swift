// Profiles in Postgres (deploy/migrations/0003_profile.sql). The contract's Profile is the model. No constraint of the
// table can fail for what the rules let through, so none is an answer: a violation is our own mistake.
import Contract
import Foundation
import Postgres
import ServiceKit
import SwiftProtobuf

struct ProfileStore: Sendable {
    private static let columns: StaticString = "user_id, username, nickname, signature, version, updated_at"

    let postgres: PostgresClient

    func profile(of user: Int64) async throws -> Ringway_V1_Profile {
        let rows = try await postgres.query(
            "SELECT \(unescaped: Self.columns) FROM profile.profiles WHERE user_id = \(user)")
        guard let row = rows.first else { throw ProfileError.noSuchUser }
        return try Self.profile(row)
    }

    /// Applies the change and appends its event to the user's log, both or neither.
    func update(_ change: ProfileChange, of user: Int64) async throws -> Ringway_V1_Profile {
        try await postgres.transaction { connection in
            // The row's lock makes of two updates for one version a winner and a loser: the second one looks at the
            // version again when it has waited for the first. (The casts say that NULL is meant for what is absent.)
            let rows = try await connection.query(
                """
                UPDATE profile.profiles
                SET nickname = COALESCE(\(change.nickname as String?), nickname),
                    signature = COALESCE(\(change.signature as String?), signature),
                    version = version + 1,
                    updated_at = now()
                WHERE user_id = \(user) AND version = COALESCE(\(change.expectedVersion as Int64?), version)
                RETURNING \(unescaped: Self.columns)
                """)
            guard let row = rows.first else { throw try await Self.refusal(of: user, on: connection) }
            let profile = try Self.profile(row)
            let event = Ringway_V1_Event.with { $0.profile.profile = profile }
            try await connection.query(.appendToInbox([user: event]))
            return profile
        }
    }

    /// Why an update touched no row.
    private static func refusal(of user: Int64, on connection: PostgresConnection) async throws -> ProfileError {
        let rows = try await connection.query("SELECT profile.user_exists(\(user))")
        return try rows[0].decode(Bool.self) ? .outdated : .noSuchUser
    }

    private static func profile(_ row: PostgresRow) throws -> Ringway_V1_Profile {
        let (user, username, nickname, signature, version, updatedAt) = try row.decode(
            Int64.self, String.self, String.self, String.self, Int64.self, Date.self)
        return .with {
            $0.userID = user
            $0.username = username
            $0.nickname = nickname
            $0.signature = signature
            $0.version = version
            $0.updatedAt = Google_Protobuf_Timestamp(microsecondsOf: updatedAt)
        }
    }
}
