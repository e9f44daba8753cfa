// Refresh tokens in Postgres. A token and its successors are a device's family; one of them is good at a time.
import Crypto
import Foundation
import Postgres

enum Rotation {
    case rotated(Session, RefreshToken)
    /// Unknown, expired, or of a device that has ended.
    case refused
    /// Used before, and not for want of an answer: two hold the family, and one of them has stolen it.
    case reused(Session)
}

extension AuthStore {
    /// Whose a token is; nil for one that is unknown.
    func owner(of token: RefreshToken) async throws -> Session? {
        let rows = try await postgres.query(
            "SELECT user_id, device_id FROM auth.refresh_tokens WHERE digest = \(token.digest)")
        guard let (user, device) = try rows.first?.decode(Int64.self, Int64.self) else { return nil }
        return Session(userID: user, deviceID: device)
    }

    /// Trades a token for its successor, once: the row's lock lets one of many at a time see it unused, and the others
    /// are given the same successor, while it is young and unused itself.
    func rotate(_ used: RefreshToken, lifetime: Duration, grace: Duration) async throws -> Rotation {
        try await postgres.transaction { connection in
            let rows = try await connection.query(
                """
                SELECT token.user_id, token.device_id, token.rotated_at IS NOT NULL, token.expires_at > now(),
                       device.revoked_at IS NULL,
                       coalesce(token.rotated_at > clock_timestamp() - make_interval(secs => \(grace.seconds)), false),
                       token.successor_salt
                FROM auth.refresh_tokens AS token
                JOIN auth.devices AS device ON device.user_id = token.user_id AND device.id = token.device_id
                WHERE token.digest = \(used.digest) FOR UPDATE OF token
                """)
            guard
                let (user, device, isUsed, isFresh, isActive, isYoung, salt) = try rows.first?.decode(
                    Int64.self, Int64.self, Bool.self, Bool.self, Bool.self, Bool.self, [UInt8]?.self), isActive
            else { return .refused }
            let session = Session(userID: user, deviceID: device)
            guard isUsed else {
                guard isFresh else { return .refused }
                return .rotated(session, try await Self.successor(of: used, in: session, lifetime, on: connection))
            }
            guard isYoung, let salt, case let next = used.successor(salt: salt) else { return .reused(session) }
            let good = try await connection.query(
                """
                SELECT FROM auth.refresh_tokens
                WHERE digest = \(next.digest) AND rotated_at IS NULL AND expires_at > now()
                """)
            return good.isEmpty ? .reused(session) : .rotated(session, next)
        }
    }

    /// The family's expired tokens go by the way.
    private static func successor(
        of used: RefreshToken, in session: Session, _ lifetime: Duration, on connection: PostgresConnection
    ) async throws -> RefreshToken {
        let salt = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
        let next = used.successor(salt: salt)
        _ = try await connection.pipeline([
            """
            UPDATE auth.refresh_tokens SET rotated_at = clock_timestamp(), successor_salt = \(salt)
            WHERE digest = \(used.digest)
            """,
            """
            INSERT INTO auth.refresh_tokens (digest, user_id, device_id, expires_at)
            VALUES (\(next.digest), \(session.userID), \(session.deviceID),
                    now() + make_interval(secs => \(lifetime.seconds)))
            """,
            """
            DELETE FROM auth.refresh_tokens
            WHERE user_id = \(session.userID) AND device_id = \(session.deviceID) AND expires_at <= now()
            """,
        ])
        return next
    }
}
