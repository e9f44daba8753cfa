// What Auth does by itself, on every node: takes up new signing keys, and ends accounts whose time has come. One task;
// what it changes, the database lets one node do.
import Logging

extension AuthHandler {
    /// Until its task is cancelled.
    public func maintain(logger: Logger) async {
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
        accessTokens.use(try await SigningKeys(store.signingKeys()))
        while try await store.eraseOne() {}
    }
}
