// Accounts, devices, refresh tokens and signing keys in Postgres (deploy/migrations/0002_auth.sql). Neither passwords
// nor tokens come here, only hashes of them.
//
// Locks: a log's head comes last in each transaction (see PostgresQuery.appendToInbox); a refresh waits for the row of
// its own token only, and ending a device waits for both, device first.
import Contract
import Foundation
import Postgres
import ServiceKit

/// A user on a device: what tokens are issued for.
struct Session: Equatable {
    let userID: Int64
    let deviceID: Int64
}

struct AuthStore: Sendable {
    let postgres: PostgresClient

    // MARK: Accounts

    /// The account, its profile, its log and its first device, all or nothing.
    func register(
        _ username: Username, passwordHash: String, on device: NewDevice, with token: RefreshToken,
        lifetime: Duration
    ) async throws -> Session {
        do {
            return try await postgres.transaction { connection in
                let accounts = try await connection.query(
                    """
                    INSERT INTO auth.accounts (username, password_hash) VALUES (\(username.text), \(passwordHash))
                    RETURNING id
                    """)
                let user = try accounts[0].decode(Int64.self)
                let answers = try await connection.pipeline([
                    "SELECT profile.create(\(user), \(username.text))",
                    "SELECT inbox.open(\(user))",
                    Self.addDevice(device, of: user, with: token, lifetime: lifetime),
                ])
                return Session(userID: user, deviceID: try answers[2][0].decode(Int64.self))
            }
        } catch {
            throw Self.domainError(error)
        }
    }

    func credentials(of username: Username) async throws -> (userID: Int64, passwordHash: String)? {
        let rows = try await postgres.query(
            "SELECT id, password_hash FROM auth.accounts WHERE username = \(username.text)")
        return try rows.first?.decode(Int64.self, String.self)
    }

    // MARK: Devices

    func addDevice(
        _ device: NewDevice, of user: Int64, with token: RefreshToken, lifetime: Duration
    ) async throws -> Session {
        try await postgres.transaction { connection in
            let rows = try await connection.query(
                Self.addDevice(device, of: user, with: token, lifetime: lifetime))
            let session = Session(userID: user, deviceID: try rows[0].decode(Int64.self))
            try await connection.query(Self.announcement(.added, session))
            return session
        }
    }

    func isActive(_ session: Session) async throws -> Bool {
        let rows = try await postgres.query(
            """
            SELECT FROM auth.devices
            WHERE user_id = \(session.userID) AND id = \(session.deviceID) AND revoked_at IS NULL
            """)
        return !rows.isEmpty
    }

    /// Ends a device; harmless if that has happened before.
    func revoke(_ session: Session) async throws {
        try await postgres.transaction { connection in
            try await Self.revoke(session, on: connection)
        }
    }

    private static func addDevice(
        _ device: NewDevice, of user: Int64, with token: RefreshToken, lifetime: Duration
    ) -> PostgresQuery {
        """
        WITH device AS (
            INSERT INTO auth.devices (user_id, name, platform) VALUES (\(user), \(device.name), \(device.platform))
            RETURNING user_id, id
        )
        INSERT INTO auth.refresh_tokens (digest, user_id, device_id, expires_at)
        SELECT \(token.digest), user_id, id, now() + make_interval(secs => \(lifetime.seconds)) FROM device
        RETURNING device_id
        """
    }

    private static func revoke(_ session: Session, on connection: PostgresConnection) async throws {
        let ended = try await connection.query(
            """
            UPDATE auth.devices SET revoked_at = now()
            WHERE user_id = \(session.userID) AND id = \(session.deviceID) AND revoked_at IS NULL
            """)
        // Of several that end it at once, one has changed something, and tells it.
        guard ended.affectedRows > 0 else { return }
        _ = try await connection.pipeline([
            """
            DELETE FROM auth.refresh_tokens
            WHERE user_id = \(session.userID) AND device_id = \(session.deviceID)
            """,
            announcement(.revoked, session),
        ])
    }

    private static func announcement(
        _ change: Ringway_V1_DeviceEvent.Change, _ session: Session
    ) throws -> PostgresQuery {
        let event = Ringway_V1_Event.with {
            $0.device.change = change
            $0.device.deviceID = session.deviceID
        }
        return try .appendToInbox([session.userID: event])
    }

    // MARK: Refresh tokens

    /// Trades a token for its successor, once: the row's lock lets one of many at a time see it unused. Nil when it is
    /// not good. The family's expired tokens go by the way.
    func rotate(_ used: RefreshToken, to next: RefreshToken, lifetime: Duration) async throws -> Session? {
        let rows = try await postgres.query(
            """
            WITH used AS (
                UPDATE auth.refresh_tokens AS token SET rotated_at = now()
                FROM auth.devices AS device
                WHERE token.digest = \(used.digest) AND token.rotated_at IS NULL AND token.expires_at > now()
                  AND device.user_id = token.user_id AND device.id = token.device_id AND device.revoked_at IS NULL
                RETURNING token.user_id, token.device_id
            ), forgotten AS (
                DELETE FROM auth.refresh_tokens AS token USING used
                WHERE token.user_id = used.user_id AND token.device_id = used.device_id
                  AND token.expires_at <= now()
            )
            INSERT INTO auth.refresh_tokens (digest, user_id, device_id, expires_at)
            SELECT \(next.digest), user_id, device_id, now() + make_interval(secs => \(lifetime.seconds)) FROM used
            RETURNING user_id, device_id
            """)
        guard let (user, device) = try rows.first?.decode(Int64.self, Int64.self) else { return nil }
        return Session(userID: user, deviceID: device)
    }

    /// Ends the device of a token that has been rotated before, if it has: two hold its family, and one of them has
    /// stolen it.
    func revokeFamily(of used: RefreshToken) async throws {
        try await postgres.transaction { connection in
            let rows = try await connection.query(
                """
                SELECT user_id, device_id FROM auth.refresh_tokens
                WHERE digest = \(used.digest) AND rotated_at IS NOT NULL
                """)
            guard let (user, device) = try rows.first?.decode(Int64.self, Int64.self) else { return }
            try await Self.revoke(Session(userID: user, deviceID: device), on: connection)
        }
    }

    // MARK: Signing keys

    /// Any number that nobody else uses.
    private static let keyLock: Int64 = 0x6b65_7973

    /// All keys, the newest first. Makes the first one, under a lock that nodes starting together share.
    func signingKeys() async throws -> [SigningKey] {
        try await postgres.transaction { connection in
            try await connection.query("SELECT pg_advisory_xact_lock(\(Self.keyLock))")
            let rows = try await connection.query(
                "SELECT kid, private_key FROM auth.signing_keys ORDER BY created_at DESC, kid")
            if !rows.isEmpty {
                return try rows.map {
                    let (kid, privateKey) = try $0.decode(String.self, String.self)
                    return SigningKey(kid: kid, privateKey: privateKey)
                }
            }
            let first = SigningKey()
            try await connection.query(
                "INSERT INTO auth.signing_keys (kid, private_key) VALUES (\(first.kid), \(first.privateKey))")
            return [first]
        }
    }

    // MARK: Errors

    /// The constraints that a client's input can break although it keeps the rules. Everything else passes unchanged.
    private static func domainError(_ error: any Error) -> any Error {
        switch (error as? PostgresError)?.constraint {
        case "accounts_username_taken": AuthError.usernameTaken
        default: error
        }
    }
}

extension Duration {
    /// As make_interval takes it.
    fileprivate var seconds: Double { self / .seconds(1) }
}
