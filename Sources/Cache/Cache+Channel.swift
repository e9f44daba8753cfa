// How a node hears what ends cached facts: Postgres notifies at the commit, in the order of the commits, in the
// transaction that makes the change (docs/decisions/0001-hints-by-notify.md). A connection that is lost is noticed at
// once when the other end says so, and by the listener's probe within 20 s when the network is silent.
import Postgres

extension Cache {
    /// Returns when the client is shut down or the task is cancelled; the cache is not used from then on.
    public func follow(_ postgres: PostgresClient) async {
        guard isOn else { return }
        await withDiscardingTaskGroup { group in
            if let shared {
                group.addTask {
                    await shared.run { topic, mark in
                        try await postgres.query("SELECT pg_notify('ringway_cache', \("\(topic):\(mark):0"))")
                    }
                }
            }
            for await news in postgres.listen("ringway_cache") {
                switch news {
                case .connected: beginsToHear()
                case .disconnected: endsToHear()
                case .notification(let payload): hear(payload)
                }
            }
            endsToHear()
            group.cancelAll()
        }
    }

    /// `topic:id:version`, or `topic:mark:0`. What can't be read may be any change.
    private func hear(_ payload: String) {
        let parts = payload.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let id = Int64(parts[1]), let version = Int64(parts[2]) else { return beginsToHear() }
        changed(String(parts[0]), id, version: version)
    }
}
