// Devices in Postgres: a device is a log-in. Ending one appends to its user's log in the same transaction, which is
// what closes its sockets on every node.
import Contract
import Foundation
import Outbox
import Postgres
import ServiceKit

extension AuthStore {
    /// A log-in: keeps an account that was to be deleted, and makes room by ending the devices seen least recently, which
    /// come with it. Nil: the password that was given is no longer the password.
    func addDevice(
        _ device: NewDevice, of account: StoredAccount, rehashed: String?, devicesMax: Int, with token: RefreshToken,
        lifetime: Duration
    ) async throws -> (Session, ended: [Session])? {
        try await postgres.transaction { connection in
            guard try await Self.lock(account, on: connection) else { return nil }
            try await connection.query(
                """
                UPDATE auth.accounts SET delete_after = NULL, password_hash = coalesce(\(rehashed), password_hash)
                WHERE id = \(account.userID) AND (delete_after IS NOT NULL OR \(rehashed) IS NOT NULL)
                """)
            let surplus = try await connection.query(
                """
                SELECT id FROM auth.devices WHERE user_id = \(account.userID) AND revoked_at IS NULL
                ORDER BY last_seen_at DESC, id DESC OFFSET \(devicesMax - 1)
                """)
            let ended = try surplus.map { Session(userID: account.userID, deviceID: try $0.decode(Int64.self)) }
            for session in ended { try await Self.revoke(session, on: connection) }
            let rows = try await connection.query(
                Self.addDevice(device, of: account.userID, with: token, lifetime: lifetime))
            let session = Session(userID: account.userID, deviceID: try rows[0].decode(Int64.self))
            try await connection.query(Self.announcement(.added, session))
            return (session, ended)
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

    /// Those that are not active.
    func ended(of sessions: [Session]) async throws -> [Session] {
        let (users, devices) = (sessions.map(\.userID), sessions.map(\.deviceID))
        let rows = try await postgres.query(
            """
            SELECT asked.user_id, asked.id FROM unnest(\(users), \(devices)) AS asked (user_id, id)
            WHERE NOT EXISTS (
                SELECT FROM auth.devices AS device
                WHERE device.user_id = asked.user_id AND device.id = asked.id AND device.revoked_at IS NULL)
            """)
        return try rows.map { row in
            let (user, device) = try row.decode(Int64.self, Int64.self)
            return Session(userID: user, deviceID: device)
        }
    }

    func devices(of session: Session) async throws -> [Ringway_V1_DeviceInfo] {
        let rows = try await postgres.query(
            """
            SELECT id, name, platform, address, created_at, last_seen_at FROM auth.devices
            WHERE user_id = \(session.userID) AND revoked_at IS NULL ORDER BY id DESC
            """)
        return try rows.map { try Self.info($0, current: session.deviceID) }
    }

    /// Nil: no such device.
    func rename(
        _ device: Int64, of session: Session, to name: String
    ) async throws -> Ringway_V1_DeviceInfo? {
        let rows = try await postgres.query(
            """
            UPDATE auth.devices SET name = \(name)
            WHERE user_id = \(session.userID) AND id = \(device) AND revoked_at IS NULL
            RETURNING id, name, platform, address, created_at, last_seen_at
            """)
        return try rows.first.map { try Self.info($0, current: session.deviceID) }
    }

    /// A refresh has been seen. Apart from the refresh itself, so that it never waits for a device's lock.
    func touch(_ session: Session, address: String) async throws {
        try await postgres.query(
            """
            UPDATE auth.devices SET last_seen_at = now(), address = \(address)
            WHERE user_id = \(session.userID) AND id = \(session.deviceID) AND revoked_at IS NULL
            """)
    }

    /// Ends a device; harmless if that has happened before. Returns whether it had not.
    @discardableResult
    func revoke(_ session: Session) async throws -> Bool {
        try await postgres.transaction { connection in
            try await Self.revoke(session, on: connection)
        }
    }

    /// Returns the devices that it ended.
    func revokeOthers(than session: Session) async throws -> [Int64] {
        try await postgres.transaction { connection in
            try await connection.query(
                "SELECT FROM auth.accounts WHERE id = \(session.userID) FOR NO KEY UPDATE")
            return try await Self.revokeAll(of: session.userID, keeping: session.deviceID, on: connection)
        }
    }

    /// Devices that can't come back, because the last of their refresh tokens has expired. The minute is for a refresh that
    /// was in time and has not committed.
    func expired(except refused: [Int64], limit: Int) async throws -> [Session] {
        let expired = try await postgres.query(
            """
            SELECT user_id, device_id FROM auth.refresh_tokens AS token
            WHERE rotated_at IS NULL AND expires_at < now() - interval '1 minute'
              AND device_id <> ALL (\(refused)) AND EXISTS (
                SELECT FROM auth.devices
                WHERE user_id = token.user_id AND id = token.device_id AND revoked_at IS NULL)
            ORDER BY expires_at LIMIT \(limit)
            """)
        return try expired.map { row in
            let (user, device) = try row.decode(Int64.self, Int64.self)
            return Session(userID: user, deviceID: device)
        }
    }

    /// Forgets devices that ended longer ago than any token lives, name and address too, because nothing asks for them any
    /// more; how many. The outbox tells who else keeps something of them. Nodes that do this at once pass over each other's.
    func forgetEnded(limit: Int) async throws -> Int {
        try await postgres.transaction { connection in
            let rows = try await connection.query(
                """
                SELECT user_id, id FROM auth.devices WHERE revoked_at < now() - interval '1 hour'
                ORDER BY revoked_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
                """)
            guard !rows.isEmpty else { return 0 }
            let ended = try rows.map { try $0.decode(Int64.self, Int64.self) }
            let forgotten = DevicesForgotten(users: ended.map(\.0), devices: ended.map(\.1))
            let deletions: [PostgresQuery] = ended.flatMap { user, device -> [PostgresQuery] in
                [
                    // A refresh that raced with the end may have left one behind.
                    "DELETE FROM auth.refresh_tokens WHERE user_id = \(user) AND device_id = \(device)",
                    "DELETE FROM auth.devices WHERE user_id = \(user) AND id = \(device)",
                ]
            }
            _ = try await connection.pipeline(
                deletions + [
                    .appendToOutbox(
                        "auth", topic: DevicesForgotten.topic, key: DevicesForgotten.key, payload: forgotten.payload,
                        to: DevicesForgotten.consumers)
                ])
            return ended.count
        }
    }

    static func addDevice(
        _ device: NewDevice, of user: Int64, with token: RefreshToken, lifetime: Duration
    ) -> PostgresQuery {
        """
        WITH device AS (
            INSERT INTO auth.devices (user_id, name, platform, address)
            VALUES (\(user), \(device.name), \(device.platform), \(Peer.current.address))
            RETURNING user_id, id
        )
        INSERT INTO auth.refresh_tokens (digest, user_id, device_id, expires_at)
        SELECT \(token.digest), user_id, id, now() + make_interval(secs => \(lifetime.seconds)) FROM device
        RETURNING device_id
        """
    }

    /// With the account's row locked, so that no log-in comes between.
    @discardableResult
    static func revokeAll(
        of user: Int64, keeping kept: Int64?, on connection: PostgresConnection
    ) async throws -> [Int64] {
        let rows = try await connection.query(
            """
            SELECT id FROM auth.devices
            WHERE user_id = \(user) AND revoked_at IS NULL AND id IS DISTINCT FROM \(kept) ORDER BY id
            """)
        let devices = try rows.map { try $0.decode(Int64.self) }
        for device in devices {
            try await revoke(Session(userID: user, deviceID: device), on: connection)
        }
        return devices
    }

    @discardableResult
    static func revoke(_ session: Session, on connection: PostgresConnection) async throws -> Bool {
        let ended = try await connection.query(
            """
            UPDATE auth.devices SET revoked_at = now()
            WHERE user_id = \(session.userID) AND id = \(session.deviceID) AND revoked_at IS NULL
            """)
        // Of several that end it at once, one has changed something, and tells it.
        guard ended.affectedRows > 0 else { return false }
        _ = try await connection.pipeline([
            """
            DELETE FROM auth.refresh_tokens
            WHERE user_id = \(session.userID) AND device_id = \(session.deviceID)
            """,
            announcement(.revoked, session),
        ])
        return true
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

    private static func info(_ row: PostgresRow, current: Int64) throws -> Ringway_V1_DeviceInfo {
        let (id, name, platform, address, firstSeen, lastSeen) = try row.decode(
            Int64.self, String.self, String.self, String.self, Date.self, Date.self)
        return .with {
            ($0.id, $0.name, $0.platform, $0.address, $0.current) = (id, name, platform, address, id == current)
            $0.firstSeenAt = .init(microsecondsOf: firstSeen)
            $0.lastSeenAt = .init(microsecondsOf: lastSeen)
        }
    }
}
