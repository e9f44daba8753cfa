// Signing keys in Postgres. A new key is published for a while before it signs, so that every node and everyone who
// reads the key set knows it by then; an old one stays until the last token that it signed has expired. One that is revoked
// goes at once, and leaves its id behind. A trigger tells every node of each change (deploy/migrations/0050_key_revocation.sql).
import Foundation
import Postgres

extension AuthStore {
    /// Any number that nobody else uses.
    private static let keyLock: Int64 = 0x6b65_7973

    /// All keys, the newest first. Makes the first one, under a lock that nodes starting together share.
    func signingKeys() async throws -> [SigningKey] {
        let keys = try await Self.keys(postgres.query(Self.selection))
        if !keys.isEmpty { return keys }
        return try await changingKeys { keys, connection in
            if !keys.isEmpty { return keys }
            let first = SigningKey()
            try await connection.query(Self.add(first))
            return [first]
        }
    }

    /// Adds a key that signs from `delay` on, and drops those that stopped signing longer than `keeping` ago.
    func rotateKeys(delay: Duration, keeping: Duration) async throws -> (added: String, dropped: [String]) {
        try await changingKeys { _, connection in
            let dropped = try await connection.query(
                """
                DELETE FROM auth.signing_keys AS key WHERE EXISTS (
                    SELECT FROM auth.signing_keys AS newer
                    WHERE newer.signs_from > key.signs_from
                      AND newer.signs_from < now() - make_interval(secs => \(keeping.seconds)))
                RETURNING kid
                """)
            let key = SigningKey()
            try await connection.query(Self.add(key, signingIn: delay))
            return (key.kid, try dropped.map { try $0.decode(String.self) })
        }
    }

    // MARK: Revoking

    /// Deletes a key, and remembers its id. If it was the one that signs, another signs from now on: of those that wait the
    /// first, whom the readers of the key set know already, or a new one.
    func revokeKey(_ kid: String) async throws -> KeyRevocation {
        try await changingKeys { keys, connection in
            guard keys.contains(where: { $0.kid == kid }) else {
                let rows = try await connection.query("SELECT FROM auth.revoked_keys WHERE kid = \(kid)")
                return rows.isEmpty ? .unknown : .alreadyRevoked
            }
            _ = try await connection.pipeline([
                "DELETE FROM auth.signing_keys WHERE kid = \(kid)",
                "INSERT INTO auth.revoked_keys (kid) VALUES (\(kid))",
                "DELETE FROM auth.revoked_keys WHERE revoked_at < now() - interval '30 days'",
            ])
            guard keys.signer.kid == kid else { return .revoked(successor: nil) }
            if let next = keys.last(where: { !$0.signs && $0.kid != kid }) {
                try await connection.query("UPDATE auth.signing_keys SET signs_from = now() WHERE kid = \(next.kid)")
                return .revoked(successor: next.kid)
            }
            let next = SigningKey()
            try await connection.query(Self.add(next))
            return .revoked(successor: next.kid)
        }
    }

    func revokedKeys() async throws -> [String] {
        try await postgres.query("SELECT kid FROM auth.revoked_keys").map { try $0.decode(String.self) }
    }

    func keyRecords() async throws -> [KeyRecord] {
        let rows = try await postgres.query(
            """
            SELECT kid, state, since FROM (
                SELECT kid, CASE WHEN signs_from > now() THEN 'waits' ELSE 'verifies' END, signs_from
                FROM auth.signing_keys
                UNION ALL SELECT kid, 'revoked', revoked_at FROM auth.revoked_keys
            ) AS keys (kid, state, since)
            ORDER BY state = 'revoked', since DESC, kid
            """)
        var signerIsKnown = false
        return try rows.map { row in
            let (kid, text, since) = try row.decode(String.self, String.self, Date.self)
            var state = KeyRecord.State(rawValue: text) ?? .waits
            if state == .verifies, !signerIsKnown { (state, signerIsKnown) = (.signs, true) }
            return KeyRecord(kid: kid, state: state, since: since)
        }
    }

    // MARK: Parts

    /// Whoever changes the keys is alone with them, the newest first, until the commit.
    private func changingKeys<Result: Sendable>(
        _ body: @escaping @Sendable ([SigningKey], PostgresConnection) async throws -> Result
    ) async throws -> Result {
        try await postgres.transaction { connection in
            try await connection.query("SELECT pg_advisory_xact_lock(\(Self.keyLock))")
            return try await body(Self.keys(connection.query(Self.selection)), connection)
        }
    }

    private static func add(_ key: SigningKey, signingIn delay: Duration = .zero) -> PostgresQuery {
        """
        INSERT INTO auth.signing_keys (kid, private_key, signs_from)
        VALUES (\(key.kid), \(key.privateKey), now() + make_interval(secs => \(delay.seconds)))
        """
    }

    private static let selection: PostgresQuery =
        "SELECT kid, private_key, signs_from <= now() FROM auth.signing_keys ORDER BY signs_from DESC, kid"

    private static func keys(_ rows: PostgresRows) throws -> [SigningKey] {
        try rows.map {
            let (kid, privateKey, signs) = try $0.decode(String.self, String.self, Bool.self)
            return SigningKey(kid: kid, privateKey: privateKey, signs: signs)
        }
    }
}
