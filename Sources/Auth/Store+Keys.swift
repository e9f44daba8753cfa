// Signing keys in Postgres. A new key is published for a while before it signs, so that every node and everyone who
// reads the key set knows it by then; an old one stays until the last token that it signed has expired.
import Postgres

extension AuthStore {
    /// Any number that nobody else uses.
    private static let keyLock: Int64 = 0x6b65_7973

    /// All keys, the newest first. Makes the first one, under a lock that nodes starting together share.
    func signingKeys() async throws -> [SigningKey] {
        let keys = try await Self.keys(postgres.query(Self.selection))
        if !keys.isEmpty { return keys }
        return try await postgres.transaction { connection in
            try await connection.query("SELECT pg_advisory_xact_lock(\(Self.keyLock))")
            let keys = try await Self.keys(connection.query(Self.selection))
            if !keys.isEmpty { return keys }
            let first = SigningKey()
            try await connection.query(
                "INSERT INTO auth.signing_keys (kid, private_key) VALUES (\(first.kid), \(first.privateKey))")
            return [first]
        }
    }

    /// Adds a key that signs from `delay` on, and drops those that stopped signing longer than `keeping` ago.
    func rotateKeys(delay: Duration, keeping: Duration) async throws -> (added: String, dropped: [String]) {
        try await postgres.transaction { connection in
            try await connection.query("SELECT pg_advisory_xact_lock(\(Self.keyLock))")
            let dropped = try await connection.query(
                """
                DELETE FROM auth.signing_keys AS key WHERE EXISTS (
                    SELECT FROM auth.signing_keys AS newer
                    WHERE newer.signs_from > key.signs_from
                      AND newer.signs_from < now() - make_interval(secs => \(keeping.seconds)))
                RETURNING kid
                """)
            let key = SigningKey()
            try await connection.query(
                """
                INSERT INTO auth.signing_keys (kid, private_key, signs_from)
                VALUES (\(key.kid), \(key.privateKey), now() + make_interval(secs => \(delay.seconds)))
                """)
            return (key.kid, try dropped.map { try $0.decode(String.self) })
        }
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
