// The routes of Settings. How a route is written: Routes.swift.
import Contract
import GRPCCore

func settingsRoutes(_ settings: some Ringway_V1_SettingsService.ClientProtocol) -> [Route] {
    [
        Route(.get, "/v1/settings", fill: { $0.sinceVersion = try $1.count("since") }) {
            try await settings.getSettings($0, metadata: $1, options: $2)
        },
        Route(.patch, "/v1/settings") { try await settings.updateSettings($0, metadata: $1, options: $2) },
    ]
}
