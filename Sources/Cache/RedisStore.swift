// The facts of all nodes in Redis. What is believed and why is argued in docs/decisions/0015-shared-cache.md; here is how.
//
// Every key begins with a generation, a random number that is never used twice. A node makes a new one, for all nodes,
// whenever it may have missed a change or Redis may have missed a drop: when it begins to hear, and when it has a new
// session. It drops what changes in the generation that it knows of, and asks there only after a mark has come back that
// it told after it had begun to drop there: what it or others had committed before has been heard by then.
//
// A miss leaves a lease in the place of the fact, which the next miss takes over and a drop takes away; a fill needs it.
// A load whose lease is gone leaves its version at least: nothing older may be filled in after it was seen.
// Drops and fills are vital commands: the session does not outlive one that fails, and so nobody waits for them.
//
// Any thread. The one lock orders what is posted; it is never held across a wait, and taken under the cache's.
import Redis
import Synchronization

final class RedisStore: SharedStore {
    private struct State {
        var hears = false
        var session: RedisSession?
        /// In which facts are dropped, and asked for if `awaited` is nil.
        var generation: Int64?
        /// The mark that has to come back first.
        var awaited: Mark?
        var leases: UInt64 = 0
    }

    private struct Mark: Hashable, Sendable {
        let topic: String
        let number: Int64
    }

    /// Begins a generation.
    private static let generationTopic = "generation"
    /// Tells its sender that all that came before it was heard.
    private static let fenceTopic = "fence"

    let client: RedisClient
    private let lifetime: Duration
    private let patience: Duration
    private let state = Mutex(State())
    private let marks = AsyncStream.makeStream(of: Mark.self)
    /// Begins every lease of this process.
    private let name = String(UInt64.random(in: 0...(.max)), radix: 36)
    private let generations = Counter()
    private let generationsHeard = Counter()

    /// - Parameters:
    ///   - client: with `RedisStore.scripts`; nobody else's.
    ///   - lifetime: of a fact, however well everything else works.
    ///   - patience: how long a look may take.
    init(client: RedisClient, lifetime: Duration, patience: Duration) {
        self.client = client
        self.lifetime = lifetime
        self.patience = patience
    }

    // MARK: Asking and filling

    func look(for keys: [CacheKey]) async -> SharedAnswer {
        let ready: (session: RedisSession, lease: CacheLease)? = state.withLock { state in
            guard state.awaited == nil, let generation = state.generation, let session = state.session else { return nil }
            state.leases += 1
            return (session, CacheLease(generation: generation, token: "\(name).\(state.leases)"))
        }
        guard let (session, lease) = ready else { return SharedAnswer() }
        let command = RedisCommand(
            Self.lookScript, in: session, keys: keys.map { $0.bytes(in: lease.generation) },
            [StoredFact.lease(lease.token), Self.leaseMilliseconds])
        guard let values = await ask(command, on: session), values.count == keys.count else { return SharedAnswer() }
        var answer = SharedAnswer(lease: lease)
        for (key, value) in zip(keys, values) {
            if case .bytes(let bytes) = value, let entry = StoredFact.entry(bytes) { answer.found[key] = entry }
        }
        return answer
    }

    private func ask(_ command: RedisCommand, on session: RedisSession) async -> [RedisReply]? {
        do throws(RedisError) {
            guard case .array(let values) = try await client.send(command, on: session, within: patience) else { return nil }
            return values
        } catch {
            // A server that has lost the scripts, or has become a replica, or will not be asked.
            if error.code == .server { client.end(session) }
            return nil
        }
    }

    func fill(_ entries: [CacheKey: CacheEntry], under lease: CacheLease?) {
        state.withLock { state in
            guard let session = state.session, let generation = state.generation else { return }
            // A lease of an earlier generation is none.
            let token = lease.flatMap { $0.generation == generation ? $0.token : nil } ?? ""
            let pairs = Array(entries)
            let milliseconds = Array(String(Int(lifetime / .milliseconds(1))).utf8)
            client.post(
                RedisCommand(
                    Self.fillScript, in: session, keys: pairs.map { $0.key.bytes(in: generation) },
                    [Array(token.utf8), milliseconds, Self.leaseMilliseconds]
                        + pairs.map { StoredFact.bytes($0.value) }),
                on: session, isVital: true)
        }
    }

    func raise(_ keys: [CacheKey], to version: Int64?) {
        state.withLock { state in
            guard let session = state.session, let generation = state.generation, !keys.isEmpty else { return }
            let names = keys.map { $0.bytes(in: generation) }
            let command =
                version.map { RedisCommand(Self.raiseScript, in: session, keys: names, [Array(String($0).utf8)]) }
                ?? RedisCommand([Array("DEL".utf8)] + names)
            client.post(command, on: session, isVital: true)
        }
    }

    // MARK: Generations

    func hearing(_ hears: Bool) {
        state.withLock { state in
            state.hears = hears
            renew(&state)
        }
    }

    func heard(_ topic: String, _ number: Int64) -> Bool {
        guard topic == Self.generationTopic || topic == Self.fenceTopic else { return false }
        let mark = Mark(topic: topic, number: number)
        state.withLock { state in
            if mark == state.awaited {
                state.awaited = nil
            } else if topic == Self.generationTopic {
                generationsHeard.add()
                // While the own generation is under way, everyone else will follow it too.
                guard state.generation != nil, state.awaited?.topic != Self.generationTopic else { return }
                state.generation = number
                fence(&state)
            }
        }
        return true
    }

    /// Changes or drops may have been missed: nothing that was kept so far may be found.
    private func renew(_ state: inout State) {
        state.generation = nil
        state.awaited = nil
        guard state.hears, state.session != nil else { return }
        generations.add()
        let generation = Int64.random(in: 1...(.max))
        state.generation = generation
        tell(Mark(topic: Self.generationTopic, number: generation), &state)
    }

    private func fence(_ state: inout State) {
        tell(Mark(topic: Self.fenceTopic, number: .random(in: 1...(.max))), &state)
    }

    private func tell(_ mark: Mark, _ state: inout State) {
        state.awaited = mark
        marks.continuation.yield(mark)
    }

    func run(telling tell: @escaping @Sendable (_ topic: String, _ mark: Int64) async throws -> Void) async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.followSessions() }
            for await mark in marks.stream {
                guard state.withLock({ $0.awaited == mark }) else { continue }
                do {
                    try await tell(mark.topic, mark.number)
                } catch {
                    try? await Task.sleep(for: .milliseconds(200))
                    retell(mark)
                }
            }
            group.cancelAll()
        }
        state.withLock { state in
            state.session = nil
            renew(&state)
        }
    }

    /// The mark may or may not have been told. The same generation must not begin twice, so another one does.
    private func retell(_ mark: Mark) {
        state.withLock { state in
            guard state.awaited == mark else { return }
            if mark.topic == Self.generationTopic { renew(&state) } else { fence(&state) }
        }
    }

    private func followSessions() async {
        for await event in client.events {
            state.withLock { state in
                if case .connected(let session) = event { state.session = session } else { state.session = nil }
                renew(&state)
            }
        }
    }

    // MARK: Telling

    var complaint: String? {
        state.withLock { state in
            if state.session == nil { return "not available; facts are read from Postgres" }
            if !state.hears { return "not used while changes are not heard" }
            return state.awaited == nil ? nil : "about to be used"
        }
    }

    func metrics() -> String {
        var text = client.counters.metrics()
        for (name, help, value) in [
            ("begun", "Times that this node made all nodes begin anew in Redis.", generations.value),
            ("followed", "Times that another node made this one begin anew in Redis.", generationsHeard.value),
        ] {
            text += "# HELP ringway_redis_generations_\(name)_total \(help)\n"
            text += "# TYPE ringway_redis_generations_\(name)_total counter\n"
            text += "ringway_redis_generations_\(name)_total \(value)\n"
        }
        return text
    }

    // MARK: In Redis

    static let scripts = [lookScript, fillScript, raiseScript]

    /// How long a load may take that is to be filled in.
    private static let leaseMilliseconds = Array("10000".utf8)

    /// A place holds a fact, which begins with V, or a lease, which begins with L; then sixteen digits: the fact's version, or
    /// the one below which nothing may be filled in. When there is no room for a lease, what was found is found nevertheless,
    /// and what is loaded can't be filled in. A replica is not asked.
    private static let lookScript = RedisScript(
        "look",
        """
        local found = {}
        for place, key in ipairs(KEYS) do
            local value = redis.call('GET', key)
            if value and string.byte(value) == 86 then
                found[place] = value
            else
                found[place] = false
                local put = redis.pcall('SET', key, ARGV[1], 'PX', ARGV[2])
                if put.err and string.find(put.err, 'READONLY') then return put end
                if put.err then redis.call('DEL', key) end
            end
        end
        return found
        """)

    /// Where there is no room the place is left empty.
    private static let fillScript = RedisScript(
        "fill",
        """
        local kept = 0
        for place, key in ipairs(KEYS) do
            local value, fact = redis.call('GET', key), ARGV[place + 3]
            if value then
                local older = tonumber(string.sub(value, 2, 17)) < tonumber(string.sub(fact, 2, 17))
                local put = nil
                if string.byte(value) == 86 then
                    if older then redis.call('DEL', key) end
                elseif string.sub(value, 18) ~= ARGV[1] then
                    local lease = 'L' .. string.sub(fact, 2, 17) .. string.sub(value, 18)
                    if older then put = redis.pcall('SET', key, lease, 'PX', ARGV[3]) end
                elseif older or string.sub(value, 2, 17) == string.sub(fact, 2, 17) then
                    put = redis.pcall('SET', key, fact, 'PX', ARGV[2])
                    if not put.err then kept = kept + 1 end
                else
                    redis.call('DEL', key)
                end
                if put and put.err then redis.call('DEL', key) end
            end
        end
        return kept
        """)

    private static let raiseScript = RedisScript(
        "raise",
        """
        local dropped = 0
        for _, key in ipairs(KEYS) do
            local value = redis.call('GET', key)
            if value and (string.byte(value) ~= 86 or tonumber(string.sub(value, 2, 17)) < tonumber(ARGV[1])) then
                dropped = dropped + redis.call('DEL', key)
            end
        end
        return dropped
        """)
}

extension CacheKey {
    fileprivate func bytes(in generation: Int64) -> [UInt8] {
        Array("ringway:\(String(generation, radix: 36)):\(kind.form):\(description)".utf8)
    }
}

/// What a place in Redis holds: V, sixteen digits of the version, then 1 and the value, or 0; or L, as many digits and a
/// lease.
enum StoredFact {
    static func lease(_ token: String) -> [UInt8] { Array("L0000000000000000\(token)".utf8) }

    static func bytes(_ entry: CacheEntry) -> [UInt8] {
        let digits = Array(String(entry.version).utf8)
        let version = [UInt8](repeating: UInt8(ascii: "0"), count: max(0, 16 - digits.count)) + digits
        return [UInt8(ascii: "V")] + version + [UInt8(ascii: entry.value == nil ? "0" : "1")] + (entry.value ?? [])
    }

    /// Nil: it is no fact.
    static func entry(_ bytes: [UInt8]) -> CacheEntry? {
        guard bytes.count >= 18, bytes[0] == UInt8(ascii: "V"),
            let version = Int64(String(decoding: bytes[1..<17], as: UTF8.self)), version >= 0
        else { return nil }
        switch bytes[17] {
        case UInt8(ascii: "0"): return CacheEntry(version: version, value: nil)
        case UInt8(ascii: "1"): return CacheEntry(version: version, value: Array(bytes[18...]))
        default: return nil
        }
    }
}
