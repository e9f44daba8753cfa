// What Auth's own work costs without anything around it, for the benchmark: a token's check and a password's hash. No
// database, no call.

public enum AuthCost {
    /// Of a token that is seen for the first time, and of one that is remembered.
    public static func verification(tokens count: Int) throws -> (first: Duration, again: Duration) {
        let tokens = AccessTokens(keys: try SigningKeys([SigningKey()]), settings: AuthSettings())
        var issued: [String] = []
        for user in 1...count { issued.append(try tokens.issue(user: Int64(user), device: 1)) }
        let first = try time { for token in issued { _ = try tokens.verify(token) } }
        let again = try time { for token in issued { _ = try tokens.verify(token) } }
        return (first / count, again / count)
    }

    /// Passwords that a hasher of the default size and cost checks a second, when that is all it does.
    public static func hashes(for duration: Duration) async throws -> Double {
        let settings = AuthSettings()
        let hasher = PasswordHasher(threads: settings.hasherThreads, queueLimit: settings.hasherQueue)
        let password = try Password("a password to measure")
        let begun = ContinuousClock.now
        let count = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<(2 * settings.hasherThreads) {
                group.addTask {
                    var done = 0
                    while ContinuousClock.now - begun < duration {
                        _ = try await hasher.matches(password, nil)
                        done += 1
                    }
                    return done
                }
            }
            return try await group.reduce(0, +)
        }
        return Double(count) / ((ContinuousClock.now - begun) / .seconds(1))
    }

    private static func time(_ body: () throws -> Void) rethrows -> Duration {
        let begun = ContinuousClock.now
        try body()
        return ContinuousClock.now - begun
    }
}
