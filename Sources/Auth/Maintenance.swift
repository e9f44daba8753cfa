// What Auth does by itself, on every node: takes up the signing keys as they change, hears which devices end, ends accounts
// and devices whose time has come, and forgets devices that have ended. What it changes, the database lets one node do.
import Logging
import ServiceKit

extension AuthHandler {
    private static let sweepLimit = 200
    private static let retryInterval: Duration = .milliseconds(200)

    /// Until its task is cancelled.
    public func maintain(logger: Logger) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await followKeys(logger) }
            group.addTask { await followDevices() }
            group.addTask { await keepUp(logger) }
        }
    }

    /// Each change of the keys is heard of at its commit; what a lost connection hid is there when the next one is.
    private func followKeys(_ logger: Logger) async {
        for await word in store.postgres.listen("ringway_keys") where word != .disconnected {
            while !Task.isCancelled {
                do {
                    try await loadKeys()
                    break
                } catch {
                    logger.warning("the signing keys can't be read", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: Self.retryInterval)
                }
            }
        }
    }

    /// What ends on another node is no more remembered as active than what ends here.
    private func followDevices() async {
        for await word in store.postgres.listen("ringway_devices") {
            switch word {
            case .connected: activity.forgetAll()
            case .notification(let payload): Session(notification: payload).map(activity.forget)
            case .disconnected: continue
            }
        }
    }

    private func keepUp(_ logger: Logger) async {
        while !Task.isCancelled {
            do {
                try await maintainOnce()
            } catch {
                if !Task.isCancelled { logger.warning("upkeep failed", metadata: ["error": "\(error)"]) }
            }
            try? await Task.sleep(for: settings.maintenanceInterval)
        }
    }

    func maintainOnce() async throws {
        // Also without a change: a key that waits begins to sign.
        try await loadKeys()
        while try await store.eraseOne() {}
        while try await store.forgetEnded(limit: Self.sweepLimit) == Self.sweepLimit {}
        try await endExpired(limit: Self.sweepLimit)
    }

    func endExpired(limit: Int) async throws {
        try await Sweep.run { refused in
            try await store.expired(except: refused, limit: limit).map { ($0.deviceID, $0) }
        } end: { session in
            try await store.revoke(session)
            activity.forget(session)
        }
    }

    private func loadKeys() async throws {
        try await accessTokens.reload { try await SigningKeys(store.signingKeys()) }
    }
}

extension Session {
    /// "user:device", as a trigger writes it (deploy/migrations/0054_ended_devices.sql).
    fileprivate init?(notification: String) {
        let parts = notification.split(separator: ":").compactMap { Int64($0) }
        guard parts.count == 2 else { return nil }
        self.init(userID: parts[0], deviceID: parts[1])
    }
}
