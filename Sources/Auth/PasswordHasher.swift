// argon2id on a pool of threads of its own. It compares no secrets itself: argon2's verify does, in constant time.
import CArgon2
import Crypto
import ServiceKit
import Synchronization

public final class PasswordHasher: Sendable {
    private let pool: WorkerPool
    private let argon2: Argon2
    private let begun = Atomic<UInt64>(0)
    private let filled = Atomic<UInt64>(0)

    /// Passwords taken since the start, to hash them and to compare them with a hash.
    var count: UInt64 { begun.load(ordering: .relaxed) }

    /// What comparing them has cost, as `HashCost.work`.
    var comparing: UInt64 { filled.load(ordering: .relaxed) }

    public init(threads: Int, queueLimit: Int, cost: HashCost = HashCost()) {
        pool = WorkerPool(threads: threads, queueLimit: queueLimit, duration: .milliseconds(50))
        argon2 = Argon2(cost: cost)
    }

    /// A new salt and the hash, in argon2's encoded form.
    func hash(_ password: Password) async throws -> String {
        try await run { [argon2] in try argon2.hash(password.bytes) }
    }

    /// Whether the password is the one of an encoded hash. A no is the work of a new hash: without an old one that of a
    /// stand-in, and after one that was cheaper that of the difference. Else its time would tell who exists.
    func matches(_ password: Password, _ encoded: String?) async throws -> Bool {
        try await run { [self] in
            if let encoded, try compare(password, encoded) { return true }
            let done = encoded.map(Self.work(of:)) ?? 0
            if let rest = argon2.cost.beyond(done) { _ = try compare(password, rest.nobody) }
            return false
        }
    }

    /// Whether a hash was cheaper than new ones are. One that was dearer stays, or nodes of two settings would undo each
    /// other's hashes.
    func isOutdated(_ encoded: String) -> Bool {
        Self.work(of: encoded) < argon2.cost.work
    }

    private func compare(_ password: Password, _ encoded: String) throws(AuthError) -> Bool {
        filled.add(Self.work(of: encoded), ordering: .relaxed)
        return try argon2.matches(password.bytes, encoded)
    }

    /// None of a hash that is not of our making.
    private static func work(of encoded: String) -> UInt64 {
        HashCost(of: encoded)?.work ?? 0
    }

    /// Throws `.busy` at once when too many wait.
    private func run<Output: Sendable>(_ work: @escaping @Sendable () throws -> Output) async throws -> Output {
        do {
            return try await pool.run { [self] in
                begun.add(1, ordering: .relaxed)
                return try work()
            }
        } catch let full as WorkerPool.Full {
            throw AuthError.busy(retryAfter: full.retryAfter)
        }
    }
}

extension HashCost {
    /// Kibibytes filled, over all passes: what a hash takes, from us and from whoever guesses. Lanes only share it out.
    var work: UInt64 { UInt64(kibibytes) * UInt64(passes) }

    /// The cost that is left of this one once so much work is done; nil when that is none, or less than argon2 can do.
    func beyond(_ done: UInt64) -> HashCost? {
        guard done < work else { return nil }
        var rest = self
        rest.kibibytes = UInt32((work - done) / UInt64(passes))
        return rest.kibibytes >= 8 * lanes ? rest : nil
    }

    /// As an encoded hash begins; nil for one that begins otherwise than ours do.
    init?(of encoded: String) {
        let parts = encoded.split(separator: "$")
        guard parts.count == 5, parts[0] == "argon2id", parts[1] == "v=19" else { return nil }
        let numbers = zip(["m=", "t=", "p="], parts[2].split(separator: ",")).compactMap { name, part in
            part.hasPrefix(name) ? UInt32(part.dropFirst(name.count)) : nil
        }
        guard numbers.count == 3 else { return nil }
        self.init()
        (kibibytes, passes, lanes) = (numbers[0], numbers[1], numbers[2])
    }

    /// A hash of this cost that no password matches which anyone could find.
    fileprivate var nobody: String {
        "$argon2id$v=19$m=\(kibibytes),t=\(passes),p=\(lanes)$"
            + "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    }
}

/// libargon2 at a given cost.
private struct Argon2 {
    private static let hashBytes = 32

    let cost: HashCost

    func hash(_ password: [UInt8]) throws(AuthError) -> String {
        let salt = SymmetricKey(size: .bits128)
        let length = argon2_encodedlen(
            cost.passes, cost.kibibytes, cost.lanes, UInt32(salt.bitCount / 8), UInt32(Self.hashBytes), Argon2_id)
        var encoded = [CChar](repeating: 0, count: length)
        let status = salt.withUnsafeBytes { salt in
            argon2id_hash_encoded(
                cost.passes, cost.kibibytes, cost.lanes, password, password.count, salt.baseAddress, salt.count,
                Self.hashBytes, &encoded, encoded.count)
        }
        guard status == ARGON2_OK.rawValue else { throw .hashingFailed }
        return encoded.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    func matches(_ password: [UInt8], _ encoded: String) throws(AuthError) -> Bool {
        switch argon2id_verify(encoded, password, password.count) {
        case ARGON2_OK.rawValue: true
        case ARGON2_VERIFY_MISMATCH.rawValue: false
        default: throw .hashingFailed
        }
    }
}
