// The table of routes, a file a service: a method, a path, how the path and the query fill the request message, and the
// call. A body, where one is given, is the request message as JSON; what the path says overrides it.
import Contract
import GRPCCore

func makeRoutes(_ clients: APIClients) -> [Route] {
    authRoutes(clients.auth) + profileRoutes(clients.profiles) + avatarRoutes(clients.profiles)
        + settingsRoutes(clients.settings) + friendshipRoutes(clients.friendship) + inboxRoutes(clients.inbox)
        + gatewayRoutes(clients.gateway)
}

/// What `makeRoutes` serves, for the API's description. Nothing is called.
public func summarizeRoutes(_ clients: APIClients) -> [RouteSummary] {
    makeRoutes(clients).compactMap(\.summary)
}

/// The services that the routes call, wherever they are.
public struct APIClients: Sendable {
    let auth: any Ringway_V1_AuthService.ClientProtocol
    let profiles: any Ringway_V1_ProfileService.ClientProtocol
    let settings: any Ringway_V1_SettingsService.ClientProtocol
    let friendship: any Ringway_V1_FriendshipService.ClientProtocol
    let inbox: any Ringway_V1_InboxService.ClientProtocol
    let gateway: any Ringway_V1_GatewayService.ClientProtocol

    public init(
        auth: any Ringway_V1_AuthService.ClientProtocol, profiles: any Ringway_V1_ProfileService.ClientProtocol,
        settings: any Ringway_V1_SettingsService.ClientProtocol,
        friendship: any Ringway_V1_FriendshipService.ClientProtocol, inbox: any Ringway_V1_InboxService.ClientProtocol,
        gateway: any Ringway_V1_GatewayService.ClientProtocol
    ) {
        self.auth = auth
        self.profiles = profiles
        self.settings = settings
        self.friendship = friendship
        self.inbox = inbox
        self.gateway = gateway
    }

    /// All of them over one transport.
    public init<Transport: ClientTransport>(_ client: GRPCClient<Transport>) {
        self.init(
            auth: Ringway_V1_AuthService.Client(wrapping: client),
            profiles: Ringway_V1_ProfileService.Client(wrapping: client),
            settings: Ringway_V1_SettingsService.Client(wrapping: client),
            friendship: Ringway_V1_FriendshipService.Client(wrapping: client),
            inbox: Ringway_V1_InboxService.Client(wrapping: client),
            gateway: Ringway_V1_GatewayService.Client(wrapping: client))
    }
}
