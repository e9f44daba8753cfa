// The routes of Inbox: reading the log. How a route is written: Routes.swift.
import Contract
import GRPCCore

func inboxRoutes(_ inbox: some Ringway_V1_InboxService.ClientProtocol) -> [Route] {
    [
        Route(
            .get, "/v1/inbox",
            fill: {
                $0.since = try $1.count("since")
                $0.limit = try $1.count("limit")
            },
            call: { try await inbox.readInbox($0, metadata: $1, options: $2) })
    ]
}
