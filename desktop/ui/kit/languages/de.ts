<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
    <context>
        <name>cove</name>
        <message>
            <source>0 s</source>
            <translation>0 s</translation>
        </message>
        <message>
            <source>1 CPU</source>
            <translation>1 CPU</translation>
        </message>
        <message>
            <source>1 h</source>
            <translation>1 h</translation>
        </message>
        <message>
            <source>1 min</source>
            <translation>1 min</translation>
        </message>
        <message>
            <source>10 min</source>
            <translation>10 min</translation>
        </message>
        <message>
            <source>24 h</source>
            <translation>24 h</translation>
        </message>
        <message>
            <source>6 h</source>
            <translation>6 h</translation>
        </message>
        <message>
            <source>A client attached to {name}</source>
            <translation>Ein Client ist mit {name} verbunden</translation>
        </message>
        <message>
            <source>A compose file describes containers that belong together. Open one, or drop it here.</source>
            <translation>Eine Compose-Datei beschreibt Container, die zusammengehören. Öffnen Sie eine, oder ziehen Sie sie hierher.</translation>
        </message>
        <message>
            <source>A container starts {n} times sooner: it boots nothing, it is a process.</source>
            <translation>Ein Container startet {n}-mal schneller: Er bootet nichts, er ist ein Prozess.</translation>
        </message>
        <message>
            <source>A container that deletes itself cannot be restarted.</source>
            <translation>Ein Container, der sich selbst löscht, kann nicht neu gestartet werden.</translation>
        </message>
        <message>
            <source>A context tells them where Cove is. Other contexts stay as they are, and “docker context use default” switches back.</source>
            <translation>Ein Kontext sagt ihnen, wo Cove ist. Andere Kontexte bleiben, wie sie sind, und „docker context use default“ schaltet zurück.</translation>
        </message>
        <message>
            <source>A digest cannot be pushed; name a tag.</source>
            <translation>Eine Prüfsumme kann nicht hochgeladen werden; nennen Sie ein Tag.</translation>
        </message>
        <message>
            <source>A folder of this computer</source>
            <translation>Ein Ordner dieses Rechners</translation>
        </message>
        <message>
            <source>A folder with files *.crt, *.pem or *.cer. The VM trusts them beside those of this computer.</source>
            <translation>Ein Ordner mit Dateien *.crt, *.pem oder *.cer. Die VM vertraut ihnen neben denen dieses Rechners.</translation>
        </message>
        <message>
            <source>A name has letters, digits, and “_”, “.”, “-” after the first character.</source>
            <translation>Ein Name hat Buchstaben, Ziffern und, nach dem ersten Zeichen, „_“, „.“, „-“.</translation>
        </message>
        <message>
            <source>A name has letters, digits, and “_”, “.”, “-” after the first character; two at least.</source>
            <translation>Ein Name hat Buchstaben, Ziffern und, nach dem ersten Zeichen, „_“, „.“, „-“; mindestens zwei Zeichen.</translation>
        </message>
        <message>
            <source>A new container takes its place; if that does not start, everything is as before.</source>
            <translation>Ein neuer Container tritt an seine Stelle; startet der nicht, ist alles wie vorher.</translation>
        </message>
        <message>
            <source>A password is needed.</source>
            <translation>Ein Passwort fehlt.</translation>
        </message>
        <message>
            <source>A quote is not closed.</source>
            <translation>Ein Anführungszeichen ist nicht geschlossen.</translation>
        </message>
        <message>
            <source>A terminal needs it to run.</source>
            <translation>Für ein Terminal muss er laufen.</translation>
        </message>
        <message>
            <source>A user is needed.</source>
            <translation>Ein Benutzer fehlt.</translation>
        </message>
        <message>
            <source>A variable needs a name without =.</source>
            <translation>Eine Variable braucht einen Namen ohne =.</translation>
        </message>
        <message>
            <source>A volume can be deleted when no container has it, not even a stopped one.</source>
            <translation>Ein Volume kann gelöscht werden, wenn kein Container es hat, auch kein angehaltener.</translation>
        </message>
        <message>
            <source>A volume can be renamed when no container has it, not even a stopped one.</source>
            <translation>Ein Volume kann umbenannt werden, wenn kein Container es hat, auch kein gestoppter.</translation>
        </message>
        <message>
            <source>A volume keeps files that outlive the container that wrote them.</source>
            <translation>Ein Volume hebt Dateien auf, die den Container überdauern, der sie schrieb.</translation>
        </message>
        <message>
            <source>A whole number of MB, {least} at least.</source>
            <translation>Eine ganze Zahl in MB, mindestens {least}.</translation>
        </message>
        <message>
            <source>Accelerator</source>
            <translation>Beschleuniger</translation>
        </message>
        <message>
            <source>Activity</source>
            <translation>Aktivität</translation>
        </message>
        <message>
            <source>Add</source>
            <translation>Hinzufügen</translation>
        </message>
        <message>
            <source>Add a folder…</source>
            <translation>Ordner hinzufügen…</translation>
        </message>
        <message>
            <source>Add a name…</source>
            <translation>Namen hinzufügen…</translation>
        </message>
        <message>
            <source>Add a port</source>
            <translation>Port hinzufügen</translation>
        </message>
        <message>
            <source>Add a variable</source>
            <translation>Variable hinzufügen</translation>
        </message>
        <message>
            <source>Add a volume</source>
            <translation>Volume hinzufügen</translation>
        </message>
        <message>
            <source>Add the name</source>
            <translation>Namen hinzufügen</translation>
        </message>
        <message>
            <source>Add the path of a folder</source>
            <translation>Pfad eines Ordners hinzufügen</translation>
        </message>
        <message>
            <source>Age</source>
            <translation>Alter</translation>
        </message>
        <message>
            <source>All</source>
            <translation>Alle</translation>
        </message>
        <message>
            <source>All cached</source>
            <translation>Alles im Cache</translation>
        </message>
        <message>
            <source>All is as the file says.</source>
            <translation>Alles ist, wie die Datei es sagt.</translation>
        </message>
        <message>
            <source>All of it is in use.</source>
            <translation>Alles ist in Gebrauch.</translation>
        </message>
        <message>
            <source>All services</source>
            <translation>Alle Dienste</translation>
        </message>
        <message>
            <source>All steps</source>
            <translation>Alle Schritte</translation>
        </message>
        <message>
            <source>Already here</source>
            <translation>Schon hier</translation>
        </message>
        <message>
            <source>Already there</source>
            <translation>Schon dort</translation>
        </message>
        <message>
            <source>Altogether</source>
            <translation>Zusammen</translation>
        </message>
        <message>
            <source>Always</source>
            <translation>Immer</translation>
        </message>
        <message>
            <source>An empty folder kept by the engine. Containers that mount it share it, and it outlives them.</source>
            <translation>Ein leerer Ordner, den die Engine aufhebt. Container, die ihn einhängen, teilen ihn, und er überdauert sie.</translation>
        </message>
        <message>
            <source>An image to run, a container, a command</source>
            <translation>Ein Image, ein Container, ein Befehl</translation>
        </message>
        <message>
            <source>An upper bound: the VM takes what it uses, and gives back what it frees.</source>
            <translation>Eine Obergrenze: Die VM nimmt, was sie braucht, und gibt zurück, was sie nicht mehr braucht.</translation>
        </message>
        <message>
            <source>An upper bound: the file grows as it is filled. It can be raised, not lowered.</source>
            <translation>Eine Obergrenze: Die Datei wächst, wie sie sich füllt. Sie kann erhöht, nicht gesenkt werden.</translation>
        </message>
        <message>
            <source>Another command…</source>
            <translation>Anderer Befehl…</translation>
        </message>
        <message>
            <source>Another container has it. Nothing was changed.</source>
            <translation>Ein anderer Container hat ihn. Nichts wurde verändert.</translation>
        </message>
        <message>
            <source>Another name makes a new volume.</source>
            <translation>Ein anderer Name ergibt ein neues Volume.</translation>
        </message>
        <message>
            <source>Another name…</source>
            <translation>Anderer Name…</translation>
        </message>
        <message>
            <source>Another program or container</source>
            <translation>Ein anderes Programm oder ein Container</translation>
        </message>
        <message>
            <source>Another shell…</source>
            <translation>Andere Shell…</translation>
        </message>
        <message>
            <source>Apply…</source>
            <translation>Anwenden…</translation>
        </message>
        <message>
            <source>As a rule the same one.</source>
            <translation>Meist derselbe.</translation>
        </message>
        <message>
            <source>Asked first, in this order.</source>
            <translation>Werden zuerst gefragt, in dieser Reihenfolge.</translation>
        </message>
        <message>
            <source>Asked without TLS too; certificates are not checked.</source>
            <translation>Werden auch ohne TLS gefragt; Zertifikate werden nicht geprüft.</translation>
        </message>
        <message>
            <source>At its end</source>
            <translation>An seinem Ende</translation>
        </message>
        <message>
            <source>Authorities and client certificates of single registries.</source>
            <translation>Zertifizierungsstellen und Client-Zertifikate einzelner Registries.</translation>
        </message>
        <message>
            <source>Back</source>
            <translation>Zurück</translation>
        </message>
        <message>
            <source>Before the port may stand an address of this computer: 127.0.0.1:8080.</source>
            <translation>Vor dem Port kann eine Adresse dieses Rechners stehen: 127.0.0.1:8080.</translation>
        </message>
        <message>
            <source>Begun</source>
            <translation>Begonnen</translation>
        </message>
        <message>
            <source>Bin</source>
            <translation>Papierkorb</translation>
        </message>
        <message>
            <source>Bin {n}</source>
            <translation>Papierkorb {n}</translation>
        </message>
        <message>
            <source>Boot Linux</source>
            <translation>Linux booten</translation>
        </message>
        <message>
            <source>Both names are of the same image. To push it, begin with the registry: registry.example/app:1.</source>
            <translation>Beide Namen gehören demselben Image. Zum Hochladen beginnt er mit der Registry: registry.example/app:1.</translation>
        </message>
        <message>
            <source>Bring back</source>
            <translation>Zurückholen</translation>
        </message>
        <message>
            <source>Bring back under another name…</source>
            <translation>Unter anderem Namen zurückholen…</translation>
        </message>
        <message>
            <source>Bring it back</source>
            <translation>Zurückholen</translation>
        </message>
        <message>
            <source>Bring up project {name}?</source>
            <translation>Projekt {name} starten?</translation>
        </message>
        <message>
            <source>Bring up {name}</source>
            <translation>{name} starten</translation>
        </message>
        <message>
            <source>Bring up…</source>
            <translation>Starten…</translation>
        </message>
        <message>
            <source>Bring {name} back under another name</source>
            <translation>{name} unter anderem Namen zurückholen</translation>
        </message>
        <message>
            <source>Bringing up {name}</source>
            <translation>{name} wird gestartet</translation>
        </message>
        <message>
            <source>Build</source>
            <translation>Bauen</translation>
        </message>
        <message>
            <source>Build cache</source>
            <translation>Build-Cache</translation>
        </message>
        <message>
            <source>Building</source>
            <translation>Wird gebaut</translation>
        </message>
        <message>
            <source>Building for {time}</source>
            <translation>Wird seit {time} gebaut</translation>
        </message>
        <message>
            <source>Building {name}</source>
            <translation>{name} wird gebaut</translation>
        </message>
        <message>
            <source>Building {name}: {steps}</source>
            <translation>{name} wird gebaut: {steps}</translation>
        </message>
        <message>
            <source>Builds</source>
            <translation>Builds</translation>
        </message>
        <message>
            <source>Builds repeat the steps whose records are gone. Images stay as they are.</source>
            <translation>Schritte, deren Einträge fehlen, werden beim nächsten Build wiederholt. Images bleiben, wie sie sind.</translation>
        </message>
        <message>
            <source>Built in {time}</source>
            <translation>In {time} gebaut</translation>
        </message>
        <message>
            <source>CPU</source>
            <translation>CPU</translation>
        </message>
        <message>
            <source>CPU time</source>
            <translation>CPU-Zeit</translation>
        </message>
        <message>
            <source>CPU time used in the last second, from its cgroup; 100 % is one CPU</source>
            <translation>CPU-Zeit der letzten Sekunde, aus der cgroup; 100 % sind eine CPU</translation>
        </message>
        <message>
            <source>CPU, last minute</source>
            <translation>CPU, 1 Minute</translation>
        </message>
        <message>
            <source>CPUs</source>
            <translation>CPUs</translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation>Abbrechen</translation>
        </message>
        <message>
            <source>Cancelled</source>
            <translation>Abgebrochen</translation>
        </message>
        <message>
            <source>Cancelled after {time}</source>
            <translation>Nach {time} abgebrochen</translation>
        </message>
        <message>
            <source>Cancelled.</source>
            <translation>Abgebrochen.</translation>
        </message>
        <message>
            <source>Cancelled; layers that the registry already got may stay there.</source>
            <translation>Abgebrochen; Schichten, die schon bei der Registry sind, bleiben vielleicht dort.</translation>
        </message>
        <message>
            <source>Cancelled; nothing half-made is left.</source>
            <translation>Abgebrochen; nichts Halbfertiges bleibt übrig.</translation>
        </message>
        <message>
            <source>Capabilities</source>
            <translation>Capabilities</translation>
        </message>
        <message>
            <source>Certificate authorities</source>
            <translation>Zertifizierungsstellen</translation>
        </message>
        <message>
            <source>Certificates</source>
            <translation>Zertifikate</translation>
        </message>
        <message>
            <source>Change it</source>
            <translation>Ändern</translation>
        </message>
        <message>
            <source>Change options…</source>
            <translation>Optionen ändern…</translation>
        </message>
        <message>
            <source>Change the command…</source>
            <translation>Befehl ändern…</translation>
        </message>
        <message>
            <source>Change the name…</source>
            <translation>Namen ändern…</translation>
        </message>
        <message>
            <source>Change {name}</source>
            <translation>{name} ändern</translation>
        </message>
        <message>
            <source>Changing {name}</source>
            <translation>{name} wird geändert</translation>
        </message>
        <message>
            <source>Check again</source>
            <translation>Noch einmal prüfen</translation>
        </message>
        <message>
            <source>Check the guest image</source>
            <translation>Gast-Image prüfen</translation>
        </message>
        <message>
            <source>Checking</source>
            <translation>Wird geprüft</translation>
        </message>
        <message>
            <source>Checking; a few seconds</source>
            <translation>Wird geprüft; ein paar Sekunden</translation>
        </message>
        <message>
            <source>Choose a file to see its beginning.</source>
            <translation>Wählen Sie eine Datei, um ihren Anfang zu sehen.</translation>
        </message>
        <message>
            <source>Choose a folder</source>
            <translation>Einen Ordner wählen</translation>
        </message>
        <message>
            <source>Choose another name…</source>
            <translation>Anderen Namen wählen…</translation>
        </message>
        <message>
            <source>Choose another port…</source>
            <translation>Anderen Port wählen…</translation>
        </message>
        <message>
            <source>Choose…</source>
            <translation>Wählen…</translation>
        </message>
        <message>
            <source>Clean up networks</source>
            <translation>Netze aufräumen</translation>
        </message>
        <message>
            <source>Clean up the build cache</source>
            <translation>Build-Cache aufräumen</translation>
        </message>
        <message>
            <source>Clean up the cache…</source>
            <translation>Cache aufräumen…</translation>
        </message>
        <message>
            <source>Clean up volumes</source>
            <translation>Volumes aufräumen</translation>
        </message>
        <message>
            <source>Clean up…</source>
            <translation>Aufräumen…</translation>
        </message>
        <message>
            <source>Clear</source>
            <translation>Leeren</translation>
        </message>
        <message>
            <source>Clear filter</source>
            <translation>Filter leeren</translation>
        </message>
        <message>
            <source>Clear the view</source>
            <translation>Ansicht leeren</translation>
        </message>
        <message>
            <source>Clone</source>
            <translation>Kopieren</translation>
        </message>
        <message>
            <source>Clone volume {name}</source>
            <translation>Volume {name} kopieren</translation>
        </message>
        <message>
            <source>Clone…</source>
            <translation>Kopieren…</translation>
        </message>
        <message>
            <source>Cloning {name}</source>
            <translation>{name} wird kopiert</translation>
        </message>
        <message>
            <source>Close</source>
            <translation>Schließen</translation>
        </message>
        <message>
            <source>Close this shell (Ctrl+Shift+W)</source>
            <translation>Diese Shell schließen (Strg+Umschalt+W)</translation>
        </message>
        <message>
            <source>Columns</source>
            <translation>Spalten</translation>
        </message>
        <message>
            <source>Command</source>
            <translation>Befehl</translation>
        </message>
        <message>
            <source>Compose</source>
            <translation>Compose</translation>
        </message>
        <message>
            <source>Compose file</source>
            <translation>Compose-Datei</translation>
        </message>
        <message>
            <source>Compose will undo this at its next “up”, as the project's file says otherwise.</source>
            <translation>Compose macht das beim nächsten „up“ rückgängig, denn die Datei des Projekts sagt es anders.</translation>
        </message>
        <message>
            <source>Connect again</source>
            <translation>Wieder verbinden</translation>
        </message>
        <message>
            <source>Connect and check keys</source>
            <translation>Verbinden und Schlüssel prüfen</translation>
        </message>
        <message>
            <source>Connect your tools</source>
            <translation>Werkzeuge verbinden</translation>
        </message>
        <message>
            <source>Connecting</source>
            <translation>Verbindet</translation>
        </message>
        <message>
            <source>Connecting to the engine</source>
            <translation>Verbindung zur Engine wird hergestellt</translation>
        </message>
        <message>
            <source>Connect…</source>
            <translation>Verbinden…</translation>
        </message>
        <message>
            <source>Contact to the engine lost</source>
            <translation>Kontakt zur Engine verloren</translation>
        </message>
        <message>
            <source>Container</source>
            <translation>Container</translation>
        </message>
        <message>
            <source>Container {about}, in network {network}</source>
            <translation>Container {about}, im Netz {network}</translation>
        </message>
        <message>
            <source>Container {name}</source>
            <translation>Container {name}</translation>
        </message>
        <message>
            <source>Containers</source>
            <translation>Container</translation>
        </message>
        <message>
            <source>Containers appear here with their ports and what they send.</source>
            <translation>Hier erscheinen Container mit ihren Ports und mit dem, was sie senden.</translation>
        </message>
        <message>
            <source>Containers in one network reach each other by name.</source>
            <translation>Container in einem Netz erreichen einander unter ihrem Namen.</translation>
        </message>
        <message>
            <source>Containers keep running. To quit Cove, use its menu in the tray.</source>
            <translation>Container laufen weiter. Zum Beenden von Cove dient sein Menü in der Leiste.</translation>
        </message>
        <message>
            <source>Containers need a Linux kernel. Cove starts a small virtual machine of its own with one; the first start prepares it, and later ones take what it saved.</source>
            <translation>Container brauchen einen Linux-Kernel. Cove startet dafür eine eigene kleine virtuelle Maschine; der erste Start bereitet sie vor, und spätere nehmen, was er gespeichert hat.</translation>
        </message>
        <message>
            <source>Containers run on the engine at {address}.</source>
            <translation>Container laufen auf der Engine unter {address}.</translation>
        </message>
        <message>
            <source>Containers run on this Linux itself: no machine has to start or to be fed.</source>
            <translation>Container laufen auf diesem Linux selbst: Keine Maschine muss starten oder versorgt werden.</translation>
        </message>
        <message>
            <source>Containers share them. Idle CPUs cost nothing.</source>
            <translation>Container teilen sie sich. CPUs ohne Arbeit kosten nichts.</translation>
        </message>
        <message>
            <source>Containers' own files</source>
            <translation>Eigene Dateien der Container</translation>
        </message>
        <message>
            <source>Containers, volumes and images that are deleted here stay for 24 hours and can be brought back.</source>
            <translation>Container, Volumes und Images, die hier gelöscht werden, bleiben 24 Stunden und können zurückgeholt werden.</translation>
        </message>
        <message>
            <source>Continue</source>
            <translation>Weiter</translation>
        </message>
        <message>
            <source>Copy</source>
            <translation>Kopieren</translation>
        </message>
        <message>
            <source>Copy as text</source>
            <translation>Als Text kopieren</translation>
        </message>
        <message>
            <source>Copy command</source>
            <translation>Befehl kopieren</translation>
        </message>
        <message>
            <source>Copy id</source>
            <translation>Id kopieren</translation>
        </message>
        <message>
            <source>Copy its address</source>
            <translation>Adresse kopieren</translation>
        </message>
        <message>
            <source>Copy name</source>
            <translation>Namen kopieren</translation>
        </message>
        <message>
            <source>Copy names</source>
            <translation>Namen kopieren</translation>
        </message>
        <message>
            <source>Copy path</source>
            <translation>Pfad kopieren</translation>
        </message>
        <message>
            <source>Copy the id</source>
            <translation>Id kopieren</translation>
        </message>
        <message>
            <source>Copy the name</source>
            <translation>Namen kopieren</translation>
        </message>
        <message>
            <source>Copy the names</source>
            <translation>Namen kopieren</translation>
        </message>
        <message>
            <source>Copy {where}</source>
            <translation>{where} kopieren</translation>
        </message>
        <message>
            <source>Cost</source>
            <translation>Kosten</translation>
        </message>
        <message>
            <source>Could not start</source>
            <translation>Konnte nicht starten</translation>
        </message>
        <message>
            <source>Cove VM</source>
            <translation>Cove-VM</translation>
        </message>
        <message>
            <source>Cove is still running</source>
            <translation>Cove läuft noch</translation>
        </message>
        <message>
            <source>Cove stopped trying to reach the engine.</source>
            <translation>Cove versucht nicht mehr, die Engine zu erreichen.</translation>
        </message>
        <message>
            <source>Create</source>
            <translation>Anlegen</translation>
        </message>
        <message>
            <source>Create a network</source>
            <translation>Ein Netz anlegen</translation>
        </message>
        <message>
            <source>Create a network…</source>
            <translation>Ein Netz anlegen…</translation>
        </message>
        <message>
            <source>Create a volume</source>
            <translation>Ein Volume anlegen</translation>
        </message>
        <message>
            <source>Create a volume…</source>
            <translation>Ein Volume anlegen…</translation>
        </message>
        <message>
            <source>Create network…</source>
            <translation>Netz anlegen…</translation>
        </message>
        <message>
            <source>Create volume…</source>
            <translation>Volume anlegen…</translation>
        </message>
        <message>
            <source>Created</source>
            <translation>Angelegt</translation>
        </message>
        <message>
            <source>Delete</source>
            <translation>Löschen</translation>
        </message>
        <message>
            <source>Delete container {name}?</source>
            <translation>Container {name} löschen?</translation>
        </message>
        <message>
            <source>Delete for good…</source>
            <translation>Endgültig löschen…</translation>
        </message>
        <message>
            <source>Delete image</source>
            <translation>Image löschen</translation>
        </message>
        <message>
            <source>Delete image {name}?</source>
            <translation>Image {name} löschen?</translation>
        </message>
        <message>
            <source>Delete it even if stopped containers use it</source>
            <translation>Auch löschen, wenn angehaltene Container es benutzen</translation>
        </message>
        <message>
            <source>Delete its anonymous volumes too</source>
            <translation>Auch seine anonymen Volumes löschen</translation>
        </message>
        <message>
            <source>Delete its volume too</source>
            <translation>Auch das Volume löschen</translation>
        </message>
        <message>
            <source>Delete network {name}?</source>
            <translation>Netz {name} löschen?</translation>
        </message>
        <message>
            <source>Delete project {name}?</source>
            <translation>Projekt {name} löschen?</translation>
        </message>
        <message>
            <source>Delete the build of {name} from the history?</source>
            <translation>Den Build von {name} aus dem Verlauf löschen?</translation>
        </message>
        <message>
            <source>Delete the container when it ends</source>
            <translation>Container löschen, wenn er endet</translation>
        </message>
        <message numerus="yes">
            <source>Delete their anonymous volumes too</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Auch seine anonymen Volumes löschen</numerusform>
                <numerusform>Auch ihre anonymen Volumes löschen</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete volume {name}?</source>
            <translation>Volume {name} löschen?</translation>
        </message>
        <message>
            <source>Delete {name}</source>
            <translation>{name} löschen</translation>
        </message>
        <message>
            <source>Delete {name} for good?</source>
            <translation>{name} endgültig löschen?</translation>
        </message>
        <message>
            <source>Delete {n}</source>
            <translation>{n} löschen</translation>
        </message>
        <message>
            <source>Delete {n} builds from the history?</source>
            <translation>{n} Builds aus dem Verlauf löschen?</translation>
        </message>
        <message>
            <source>Delete {n} container</source>
            <translation>{n} Container löschen</translation>
        </message>
        <message>
            <source>Delete {n} container?</source>
            <translation>{n} Container löschen?</translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} containers</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Container löschen</numerusform>
                <numerusform>{n} Container löschen</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} containers?</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Container löschen?</numerusform>
                <numerusform>{n} Container löschen?</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete {n} for good</source>
            <translation>{n} endgültig löschen</translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} for good</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} endgültig löschen</numerusform>
                <numerusform>{n} endgültig löschen</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete {n} image</source>
            <translation>{n} Image löschen</translation>
        </message>
        <message>
            <source>Delete {n} image?</source>
            <translation>{n} Image löschen?</translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} images</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Image löschen</numerusform>
                <numerusform>{n} Images löschen</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} images?</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Image löschen?</numerusform>
                <numerusform>{n} Images löschen?</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete {n} network</source>
            <translation>{n} Netz löschen</translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} networks</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Netz löschen</numerusform>
                <numerusform>{n} Netze löschen</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete {n} project</source>
            <translation>{n} Projekt löschen</translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} projects</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Projekt löschen</numerusform>
                <numerusform>{n} Projekte löschen</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete {n} record</source>
            <translation>{n} Eintrag löschen</translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} records</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Eintrag löschen</numerusform>
                <numerusform>{n} Einträge löschen</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete {n} volume</source>
            <translation>{n} Volume löschen</translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} volumes</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Volume löschen</numerusform>
                <numerusform>{n} Volumes löschen</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Delete {n} volumes too</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Auch das Volume löschen</numerusform>
                <numerusform>Auch {n} Volumes löschen</numerusform>
            </translation>
        </message>
        <message>
            <source>Delete {n}…</source>
            <translation>{n} löschen…</translation>
        </message>
        <message>
            <source>Deleted</source>
            <translation>Gelöscht</translation>
        </message>
        <message>
            <source>Deleted, to be brought back</source>
            <translation>Gelöscht, kann zurückgeholt werden</translation>
        </message>
        <message>
            <source>Delete…</source>
            <translation>Löschen…</translation>
        </message>
        <message>
            <source>Deleting</source>
            <translation>Wird gelöscht</translation>
        </message>
        <message>
            <source>Deleting project {name}</source>
            <translation>Projekt {name} wird gelöscht</translation>
        </message>
        <message>
            <source>Dependencies</source>
            <translation>Abhängigkeiten</translation>
        </message>
        <message>
            <source>Details</source>
            <translation>Einzelheiten</translation>
        </message>
        <message>
            <source>Disconnect</source>
            <translation>Trennen</translation>
        </message>
        <message>
            <source>Disconnect or delete them first.</source>
            <translation>Trennen oder löschen Sie diese zuerst.</translation>
        </message>
        <message>
            <source>Disk</source>
            <translation>Platte</translation>
        </message>
        <message>
            <source>Do</source>
            <translation>Tun</translation>
        </message>
        <message>
            <source>Dockerfile</source>
            <translation>Dockerfile</translation>
        </message>
        <message>
            <source>Done</source>
            <translation>Fertig</translation>
        </message>
        <message>
            <source>Download {name}</source>
            <translation>{name} herunterladen</translation>
        </message>
        <message>
            <source>Downloaded</source>
            <translation>Geladen</translation>
        </message>
        <message>
            <source>Downloading</source>
            <translation>Wird geladen</translation>
        </message>
        <message>
            <source>Downloading {name}</source>
            <translation>{name} wird heruntergeladen</translation>
        </message>
        <message>
            <source>Download…</source>
            <translation>Herunterladen…</translation>
        </message>
        <message>
            <source>Driver</source>
            <translation>Treiber</translation>
        </message>
        <message>
            <source>Edit limit…</source>
            <translation>Grenze ändern…</translation>
        </message>
        <message>
            <source>Edit {name}</source>
            <translation>{name} bearbeiten</translation>
        </message>
        <message>
            <source>Edit…</source>
            <translation>Bearbeiten…</translation>
        </message>
        <message>
            <source>Empty the bin…</source>
            <translation>Papierkorb leeren…</translation>
        </message>
        <message>
            <source>Ended</source>
            <translation>Beendet</translation>
        </message>
        <message>
            <source>Engine</source>
            <translation>Engine</translation>
        </message>
        <message>
            <source>Engine running</source>
            <translation>Engine läuft</translation>
        </message>
        <message>
            <source>Engine {v}</source>
            <translation>Engine {v}</translation>
        </message>
        <message>
            <source>Environment</source>
            <translation>Umgebung</translation>
        </message>
        <message>
            <source>Every network has containers.</source>
            <translation>Jedes Netz hat Container.</translation>
        </message>
        <message>
            <source>Every volume is in use.</source>
            <translation>Jedes Volume ist in Gebrauch.</translation>
        </message>
        <message>
            <source>Existing Docker files are left alone</source>
            <translation>Vorhandene Docker-Dateien bleiben unberührt</translation>
        </message>
        <message>
            <source>Exit status 126: no permission, or not a program.</source>
            <translation>Exit-Status 126: keine Berechtigung oder kein Programm.</translation>
        </message>
        <message>
            <source>Exit status 127: there is no such program in the image.</source>
            <translation>Exit-Status 127: Dieses Programm gibt es im Image nicht.</translation>
        </message>
        <message>
            <source>Exit status {code} is 128 + {n}.</source>
            <translation>Exit-Status {code} ist 128 + {n}.</translation>
        </message>
        <message>
            <source>Exited {code}</source>
            <translation>Exit {code}</translation>
        </message>
        <message>
            <source>Exited {code}, out of memory</source>
            <translation>Exit {code}, kein Speicher mehr</translation>
        </message>
        <message>
            <source>Exited {code}, out of memory at {limit}</source>
            <translation>Exit {code}, kein Speicher mehr bei {limit}</translation>
        </message>
        <message>
            <source>Exited {code}, {error}</source>
            <translation>Exit {code}, {error}</translation>
        </message>
        <message>
            <source>Export CSV…</source>
            <translation>CSV exportieren…</translation>
        </message>
        <message>
            <source>Export its files…</source>
            <translation>Seine Dateien exportieren…</translation>
        </message>
        <message>
            <source>Export the figures</source>
            <translation>Messwerte exportieren</translation>
        </message>
        <message>
            <source>Export the files of {name}</source>
            <translation>Dateien von {name} exportieren</translation>
        </message>
        <message>
            <source>Export the log</source>
            <translation>Log exportieren</translation>
        </message>
        <message>
            <source>Export volume {name}</source>
            <translation>Volume {name} exportieren</translation>
        </message>
        <message>
            <source>Exporting {name}</source>
            <translation>{name} wird exportiert</translation>
        </message>
        <message>
            <source>Export…</source>
            <translation>Exportieren…</translation>
        </message>
        <message>
            <source>Failed</source>
            <translation>Fehlgeschlagen</translation>
        </message>
        <message>
            <source>Failed after {time}</source>
            <translation>Nach {time} fehlgeschlagen</translation>
        </message>
        <message>
            <source>File</source>
            <translation>Datei</translation>
        </message>
        <message>
            <source>Files</source>
            <translation>Dateien</translation>
        </message>
        <message>
            <source>Files of the same name are replaced, all others stay. This cannot be undone.</source>
            <translation>Dateien gleichen Namens werden ersetzt, alle anderen bleiben. Das kann nicht rückgängig gemacht werden.</translation>
        </message>
        <message>
            <source>Filter</source>
            <translation>Filtern</translation>
        </message>
        <message>
            <source>Filter by command, user, PID</source>
            <translation>Befehl, Benutzer oder PID</translation>
        </message>
        <message>
            <source>Filter by name</source>
            <translation>Nach Name filtern</translation>
        </message>
        <message>
            <source>Filter by name or word</source>
            <translation>Name oder Wort</translation>
        </message>
        <message>
            <source>Filter by name, image, port</source>
            <translation>Name, Image oder Port</translation>
        </message>
        <message>
            <source>Filter by name, service</source>
            <translation>Name oder Dienst</translation>
        </message>
        <message>
            <source>Filter by name, subnet</source>
            <translation>Name oder Subnetz</translation>
        </message>
        <message>
            <source>Find</source>
            <translation>Suchen</translation>
        </message>
        <message>
            <source>Find an accelerator</source>
            <translation>Beschleuniger suchen</translation>
        </message>
        <message>
            <source>Find in the log</source>
            <translation>Im Log suchen</translation>
        </message>
        <message>
            <source>Find its disk</source>
            <translation>Ihre Platte suchen</translation>
        </message>
        <message>
            <source>Find out why</source>
            <translation>Den Grund finden</translation>
        </message>
        <message>
            <source>Find the running VM</source>
            <translation>Laufende VM suchen</translation>
        </message>
        <message>
            <source>Folder</source>
            <translation>Ordner</translation>
        </message>
        <message>
            <source>Folders of this computer that containers may mount, with all that is in them.</source>
            <translation>Ordner dieses Rechners, die Container einhängen dürfen, mit allem, was darin ist.</translation>
        </message>
        <message>
            <source>Follow</source>
            <translation>Folgen</translation>
        </message>
        <message>
            <source>Following</source>
            <translation>Folgt</translation>
        </message>
        <message>
            <source>Following, newest line {ago}</source>
            <translation>Folgt, neueste Zeile {ago}</translation>
        </message>
        <message>
            <source>For http://</source>
            <translation>Für http://</translation>
        </message>
        <message>
            <source>For https://</source>
            <translation>Für https://</translation>
        </message>
        <message>
            <source>Forward</source>
            <translation>Vor</translation>
        </message>
        <message>
            <source>From port to process</source>
            <translation>Vom Port zum Prozess</translation>
        </message>
        <message>
            <source>From the window's next start on. “desktop” follows what the desktop says.</source>
            <translation>Ab dem nächsten Start des Fensters. „desktop“ folgt dem, was der Desktop sagt.</translation>
        </message>
        <message>
            <source>Full size</source>
            <translation>Volle Größe</translation>
        </message>
        <message>
            <source>Full size (0)</source>
            <translation>Volle Größe (0)</translation>
        </message>
        <message>
            <source>Gateway</source>
            <translation>Gateway</translation>
        </message>
        <message>
            <source>General</source>
            <translation>Allgemein</translation>
        </message>
        <message>
            <source>Give {name} another name</source>
            <translation>{name} noch einen Namen geben</translation>
        </message>
        <message>
            <source>Go to</source>
            <translation>Gehe zu</translation>
        </message>
        <message>
            <source>Gone in</source>
            <translation>Weg in</translation>
        </message>
        <message>
            <source>Graph</source>
            <translation>Graph</translation>
        </message>
        <message>
            <source>Hide</source>
            <translation>Ausblenden</translation>
        </message>
        <message>
            <source>How far back</source>
            <translation>Wie weit zurück</translation>
        </message>
        <message>
            <source>How to show the networks</source>
            <translation>Ansicht der Netze</translation>
        </message>
        <message>
            <source>IPv6</source>
            <translation>IPv6</translation>
        </message>
        <message>
            <source>Image</source>
            <translation>Image</translation>
        </message>
        <message>
            <source>Image id</source>
            <translation>Image-Id</translation>
        </message>
        <message>
            <source>Image {name} is in use</source>
            <translation>Image {name} ist in Gebrauch</translation>
        </message>
        <message>
            <source>Image {name} was made</source>
            <translation>Image {name} wurde angelegt</translation>
        </message>
        <message>
            <source>Image {name} was not made</source>
            <translation>Image {name} wurde nicht angelegt</translation>
        </message>
        <message>
            <source>Images</source>
            <translation>Images</translation>
        </message>
        <message>
            <source>Images and the build cache stay.</source>
            <translation>Images und Build-Cache bleiben.</translation>
        </message>
        <message>
            <source>Images stay. The compose file is not touched.</source>
            <translation>Images bleiben. Die Compose-Datei wird nicht verändert.</translation>
        </message>
        <message>
            <source>Import</source>
            <translation>Importieren</translation>
        </message>
        <message>
            <source>Import a volume from a tar</source>
            <translation>Ein Volume aus einem Tar importieren</translation>
        </message>
        <message>
            <source>Import into volume {name}, which exists?</source>
            <translation>In das vorhandene Volume {name} importieren?</translation>
        </message>
        <message>
            <source>Import into {name}</source>
            <translation>In {name} importieren</translation>
        </message>
        <message>
            <source>Import {file}</source>
            <translation>{file} importieren</translation>
        </message>
        <message>
            <source>Importing {name}</source>
            <translation>{name} wird importiert</translation>
        </message>
        <message>
            <source>Import…</source>
            <translation>Importieren…</translation>
        </message>
        <message>
            <source>In a small virtual machine, or on this Linux itself, without one. The command line follows at once.</source>
            <translation>In einer kleinen virtuellen Maschine, oder ohne sie auf diesem Linux selbst. Die Kommandozeile folgt sofort.</translation>
        </message>
        <message>
            <source>In order</source>
            <translation>In Ordnung</translation>
        </message>
        <message>
            <source>In steps of one pixel; also Ctrl and plus, minus or 0.</source>
            <translation>In Schritten von einem Pixel; auch Strg und Plus, Minus oder 0.</translation>
        </message>
        <message>
            <source>In the bin for 24 hours.</source>
            <translation>24 Stunden im Papierkorb.</translation>
        </message>
        <message>
            <source>In the tray, without opening the window.</source>
            <translation>In der Leiste, ohne das Fenster zu öffnen.</translation>
        </message>
        <message>
            <source>In the window:</source>
            <translation>Im Fenster:</translation>
        </message>
        <message>
            <source>In use</source>
            <translation>In Gebrauch</translation>
        </message>
        <message>
            <source>Insecure registries</source>
            <translation>Unsichere Registries</translation>
        </message>
        <message>
            <source>Inspect</source>
            <translation>Inspizieren</translation>
        </message>
        <message>
            <source>It came with Cove, so nothing is downloaded. These five steps happen at every run.</source>
            <translation>Er kam mit Cove, also wird nichts heruntergeladen. Diese fünf Schritte gibt es bei jedem Start.</translation>
        </message>
        <message>
            <source>It came with Cove, so nothing was downloaded. These five steps happen at every run.</source>
            <translation>Er kam mit Cove, also wurde nichts heruntergeladen. Diese fünf Schritte gibt es bei jedem Start.</translation>
        </message>
        <message>
            <source>It can be brought back from the bin for 24 hours, and takes its space until then.</source>
            <translation>24 Stunden lang kann es aus dem Papierkorb zurückgeholt werden; bis dahin belegt es seinen Platz.</translation>
        </message>
        <message>
            <source>It cannot be read: {reason}</source>
            <translation>Sie kann nicht gelesen werden: {reason}</translation>
        </message>
        <message>
            <source>It did not answer, or its answer could not be trusted. {left}</source>
            <translation>Sie antwortete nicht, oder ihrer Antwort war nicht zu trauen. {left}</translation>
        </message>
        <message>
            <source>It failed {n} time in a row.</source>
            <translation>Er schlug {n}-mal hintereinander fehl.</translation>
        </message>
        <message numerus="yes">
            <source>It failed {n} times in a row.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Er schlug {n}-mal hintereinander fehl.</numerusform>
                <numerusform>Er schlug {n}-mal hintereinander fehl.</numerusform>
            </translation>
        </message>
        <message>
            <source>It goes on meanwhile.</source>
            <translation>Er läuft dabei weiter.</translation>
        </message>
        <message>
            <source>It goes on meanwhile. Other containers of its networks find it by the new name.</source>
            <translation>Er läuft dabei weiter. Andere Container seiner Netze finden ihn unter dem neuen Namen.</translation>
        </message>
        <message>
            <source>It has neither networks nor volumes.</source>
            <translation>Es hat weder Netze noch Volumes.</translation>
        </message>
        <message>
            <source>It has no containers.</source>
            <translation>Es hat keine Container.</translation>
        </message>
        <message>
            <source>It has no processes.</source>
            <translation>Er hat keine Prozesse.</translation>
        </message>
        <message>
            <source>It has printed nothing yet</source>
            <translation>Er hat noch nichts ausgegeben</translation>
        </message>
        <message>
            <source>It holds from the next start on.</source>
            <translation>Es gilt ab dem nächsten Start.</translation>
        </message>
        <message>
            <source>It is no file any more.</source>
            <translation>Es ist keine Datei mehr.</translation>
        </message>
        <message>
            <source>It is no longer in the bin: it was brought back already, or deleted for good.</source>
            <translation>Es ist nicht mehr im Papierkorb: Es wurde schon zurückgeholt oder endgültig gelöscht.</translation>
        </message>
        <message>
            <source>It is not a program, or lacks the permission (exit status 126). {left}</source>
            <translation>Es ist kein Programm, oder ihm fehlt die Berechtigung (Exit-Status 126). {left}</translation>
        </message>
        <message>
            <source>It is running and is stopped first. Its own files go with it; named volumes and the image stay.</source>
            <translation>Er läuft und wird zuerst angehalten. Seine eigenen Dateien gehen mit ihm verloren; benannte Volumes und das Image bleiben.</translation>
        </message>
        <message>
            <source>It is stopped and called {old}.</source>
            <translation>Er ist angehalten und heißt {old}.</translation>
        </message>
        <message>
            <source>It is stopped for a moment.</source>
            <translation>Er wird einen Augenblick angehalten.</translation>
        </message>
        <message>
            <source>It is the engine's own.</source>
            <translation>Es gehört der Engine.</translation>
        </message>
        <message>
            <source>It is {limit} now. The new one holds from the next start on.</source>
            <translation>Sie ist jetzt {limit}. Die neue gilt ab dem nächsten Start.</translation>
        </message>
        <message>
            <source>It needed more than {limit}, so the kernel killed one of its processes (SIGKILL, exit status {code}).</source>
            <translation>Er brauchte mehr als {limit}, deshalb beendete der Kernel einen seiner Prozesse (SIGKILL, Exit-Status {code}).</translation>
        </message>
        <message>
            <source>It printed nothing</source>
            <translation>Er hat nichts ausgegeben</translation>
        </message>
        <message>
            <source>It ran for {time}.</source>
            <translation>Er lief {time}.</translation>
        </message>
        <message>
            <source>It ran out of memory.</source>
            <translation>Ihm ging der Speicher aus.</translation>
        </message>
        <message>
            <source>It runs beside the container's own program and ends with it.</source>
            <translation>Sie läuft neben dem Programm des Containers und endet mit ihm.</translation>
        </message>
        <message>
            <source>It runs in the container, beside its own program.</source>
            <translation>Er läuft im Container, neben dessen Programm.</translation>
        </message>
        <message>
            <source>It was killed (SIGKILL, exit status 137): at once on request, or because it ignored the signal to stop until its time was over.</source>
            <translation>Er wurde beendet (SIGKILL, Exit-Status 137): sofort auf Wunsch, oder weil er das Signal zum Anhalten ignorierte, bis seine Zeit um war.</translation>
        </message>
        <message>
            <source>It was restarted {n} times. Its last lines are below.</source>
            <translation>Er wurde {n}-mal neu gestartet. Seine letzten Zeilen stehen unten.</translation>
        </message>
        <message>
            <source>It was restarted {n} times; its last exit status was {code}. Its last lines are below.</source>
            <translation>Er wurde {n}-mal neu gestartet; sein letzter Exit-Status war {code}. Seine letzten Zeilen stehen unten.</translation>
        </message>
        <message>
            <source>Its exit status is {code}.</source>
            <translation>Sein Exit-Status ist {code}.</translation>
        </message>
        <message>
            <source>Its files go with it.</source>
            <translation>Seine Dateien gehen mit ihm verloren.</translation>
        </message>
        <message>
            <source>Its files stay as they are. Compose files and commands that name it must be changed too.</source>
            <translation>Seine Dateien bleiben, wie sie sind. Compose-Dateien und Befehle, die es nennen, müssen auch geändert werden.</translation>
        </message>
        <message>
            <source>Its files, {size}, go with it.</source>
            <translation>Seine Dateien, {size}, gehen mit ihm verloren.</translation>
        </message>
        <message>
            <source>Its health check fails</source>
            <translation>Sein Health-Check schlägt fehl</translation>
        </message>
        <message>
            <source>Its image with what it has written since. Volumes are not part of it. It is paused meanwhile.</source>
            <translation>Sein Image mit dem, was er seither geschrieben hat. Volumes gehören nicht dazu. Solange pausiert er.</translation>
        </message>
        <message>
            <source>Its layers are fetched from its registry, and every digest is checked.</source>
            <translation>Seine Schichten kommen von seiner Registry, und jede Prüfsumme wird geprüft.</translation>
        </message>
        <message>
            <source>Its own files and its log go with it; named volumes and the image {image} stay.</source>
            <translation>Seine eigenen Dateien und sein Log gehen mit ihm verloren; benannte Volumes und das Image {image} bleiben.</translation>
        </message>
        <message>
            <source>Its registry does not know this name and tag, or requires a login. {left}</source>
            <translation>Seine Registry kennt diesen Namen mit diesem Tag nicht, oder verlangt eine Anmeldung. {left}</translation>
        </message>
        <message>
            <source>Keep it</source>
            <translation>Behalten</translation>
        </message>
        <message>
            <source>Keep it running</source>
            <translation>Laufen lassen</translation>
        </message>
        <message>
            <source>Keep them</source>
            <translation>Behalten</translation>
        </message>
        <message>
            <source>Kept by the engine for 24 h</source>
            <translation>Von der Engine 24 h lang aufgehoben</translation>
        </message>
        <message>
            <source>Kept in {helper}.</source>
            <translation>Aufbewahrt in {helper}.</translation>
        </message>
        <message>
            <source>Kept unencrypted in docker's file.</source>
            <translation>Unverschlüsselt in der Datei von docker aufbewahrt.</translation>
        </message>
        <message>
            <source>Kill now</source>
            <translation>Jetzt beenden</translation>
        </message>
        <message>
            <source>Kill {name}</source>
            <translation>{name} beenden</translation>
        </message>
        <message>
            <source>Kill {name}?</source>
            <translation>{name} sofort beenden?</translation>
        </message>
        <message>
            <source>Killed for want of memory</source>
            <translation>Aus Speichermangel beendet</translation>
        </message>
        <message>
            <source>Kill…</source>
            <translation>Sofort beenden…</translation>
        </message>
        <message>
            <source>Language</source>
            <translation>Sprache</translation>
        </message>
        <message>
            <source>Larger</source>
            <translation>Größer</translation>
        </message>
        <message>
            <source>Larger (+)</source>
            <translation>Größer (+)</translation>
        </message>
        <message>
            <source>Layers</source>
            <translation>Schichten</translation>
        </message>
        <message>
            <source>Layers, newest first: {list}</source>
            <translation>Schichten, die neueste zuerst: {list}</translation>
        </message>
        <message>
            <source>Layers, topmost first</source>
            <translation>Schichten, die oberste zuerst</translation>
        </message>
        <message>
            <source>Let it run</source>
            <translation>Laufen lassen</translation>
        </message>
        <message>
            <source>Limits</source>
            <translation>Grenzen</translation>
        </message>
        <message>
            <source>Limits and use</source>
            <translation>Grenzen und Verbrauch</translation>
        </message>
        <message>
            <source>Lines of stderr are marked with e</source>
            <translation>Zeilen von stderr sind mit e markiert</translation>
        </message>
        <message>
            <source>List</source>
            <translation>Liste</translation>
        </message>
        <message>
            <source>Load images</source>
            <translation>Images laden</translation>
        </message>
        <message>
            <source>Load the engine</source>
            <translation>Engine laden</translation>
        </message>
        <message>
            <source>Loading {name}</source>
            <translation>{name} wird geladen</translation>
        </message>
        <message>
            <source>Load…</source>
            <translation>Laden…</translation>
        </message>
        <message>
            <source>Log</source>
            <translation>Log</translation>
        </message>
        <message>
            <source>Log in</source>
            <translation>Anmelden</translation>
        </message>
        <message>
            <source>Log in to a registry</source>
            <translation>Bei einer Registry anmelden</translation>
        </message>
        <message>
            <source>Log in…</source>
            <translation>Anmelden…</translation>
        </message>
        <message>
            <source>Log out</source>
            <translation>Abmelden</translation>
        </message>
        <message>
            <source>Log out of {name}</source>
            <translation>Von {name} abmelden</translation>
        </message>
        <message>
            <source>Log out of {name}?</source>
            <translation>Von {name} abmelden?</translation>
        </message>
        <message>
            <source>Log out…</source>
            <translation>Abmelden…</translation>
        </message>
        <message>
            <source>Logged in</source>
            <translation>Angemeldet</translation>
        </message>
        <message>
            <source>Logins</source>
            <translation>Anmeldungen</translation>
        </message>
        <message>
            <source>Logins, a test, and what the engine has</source>
            <translation>Anmeldungen, ein Test, und was die Engine hat</translation>
        </message>
        <message>
            <source>Logs</source>
            <translation>Logs</translation>
        </message>
        <message>
            <source>Look</source>
            <translation>Suchen</translation>
        </message>
        <message>
            <source>MB</source>
            <translation>MB</translation>
        </message>
        <message>
            <source>MB memory</source>
            <translation>MB Speicher</translation>
        </message>
        <message>
            <source>Made</source>
            <translation>Angelegt</translation>
        </message>
        <message>
            <source>Make an image of it…</source>
            <translation>Ein Image daraus machen…</translation>
        </message>
        <message>
            <source>Make an image of {name}</source>
            <translation>Ein Image aus {name} machen</translation>
        </message>
        <message>
            <source>Make docker's context “cove”</source>
            <translation>Dockers Kontext „cove“ anlegen</translation>
        </message>
        <message>
            <source>Make image</source>
            <translation>Image anlegen</translation>
        </message>
        <message>
            <source>Map</source>
            <translation>Karte</translation>
        </message>
        <message>
            <source>Map of the networks</source>
            <translation>Karte der Netze</translation>
        </message>
        <message>
            <source>Measure again</source>
            <translation>Noch einmal messen</translation>
        </message>
        <message>
            <source>Measure it</source>
            <translation>Messen</translation>
        </message>
        <message>
            <source>Measured since {time}, when this was opened</source>
            <translation>Gemessen seit {time}, als dies geöffnet wurde</translation>
        </message>
        <message>
            <source>Measuring</source>
            <translation>Wird gemessen</translation>
        </message>
        <message>
            <source>Measuring for a second</source>
            <translation>Wird eine Sekunde lang gemessen</translation>
        </message>
        <message>
            <source>Memory</source>
            <translation>Speicher</translation>
        </message>
        <message>
            <source>Memory in MB</source>
            <translation>Speicher in MB</translation>
        </message>
        <message>
            <source>Memory limit of {name}</source>
            <translation>Speichergrenze von {name}</translation>
        </message>
        <message>
            <source>Messages</source>
            <translation>Meldungen</translation>
        </message>
        <message>
            <source>Mirrors of Docker Hub</source>
            <translation>Spiegel von Docker Hub</translation>
        </message>
        <message>
            <source>Modified</source>
            <translation>Geändert</translation>
        </message>
        <message>
            <source>More</source>
            <translation>Mehr</translation>
        </message>
        <message>
            <source>Mount</source>
            <translation>Einhängen</translation>
        </message>
        <message>
            <source>Mounted</source>
            <translation>Eingehängt</translation>
        </message>
        <message>
            <source>Mounts</source>
            <translation>Mounts</translation>
        </message>
        <message>
            <source>Mounts &amp; environment</source>
            <translation>Mounts &amp; Umgebung</translation>
        </message>
        <message>
            <source>NAME</source>
            <translation>NAME</translation>
        </message>
        <message>
            <source>Name</source>
            <translation>Name</translation>
        </message>
        <message>
            <source>Name a volume or folder, and a place that begins with /.</source>
            <translation>Nennen Sie ein Volume oder einen Ordner, und einen Ort, der mit / beginnt.</translation>
        </message>
        <message>
            <source>Name an image.</source>
            <translation>Nennen Sie ein Image.</translation>
        </message>
        <message>
            <source>Name at the registry</source>
            <translation>Name bei der Registry</translation>
        </message>
        <message>
            <source>Name of the image</source>
            <translation>Name des Images</translation>
        </message>
        <message>
            <source>Name of the volume</source>
            <translation>Name des Volumes</translation>
        </message>
        <message>
            <source>Names</source>
            <translation>Namen</translation>
        </message>
        <message>
            <source>Names, .domains and networks, comma-separated.</source>
            <translation>Namen, .domains und Netze, mit Kommas getrennt.</translation>
        </message>
        <message>
            <source>Namespaces</source>
            <translation>Namensräume</translation>
        </message>
        <message>
            <source>Network</source>
            <translation>Netz</translation>
        </message>
        <message>
            <source>Network {name} has containers</source>
            <translation>Netz {name} hat Container</translation>
        </message>
        <message>
            <source>Network {name} stays</source>
            <translation>Netz {name} bleibt</translation>
        </message>
        <message>
            <source>Network {name} was not created</source>
            <translation>Netz {name} wurde nicht angelegt</translation>
        </message>
        <message>
            <source>Network {name} was not deleted</source>
            <translation>Netz {name} wurde nicht gelöscht</translation>
        </message>
        <message>
            <source>Network {name}, {about}, {members}</source>
            <translation>Netz {name}, {about}, {members}</translation>
        </message>
        <message>
            <source>Networks</source>
            <translation>Netze</translation>
        </message>
        <message>
            <source>Networks and containers</source>
            <translation>Netze und Container</translation>
        </message>
        <message>
            <source>Networks, volumes</source>
            <translation>Netze, Volumes</translation>
        </message>
        <message>
            <source>New images: {names}. Containers get them when the project is brought up.</source>
            <translation>Neue Images: {names}. Container bekommen sie, wenn das Projekt gestartet wird.</translation>
        </message>
        <message>
            <source>New name</source>
            <translation>Neuer Name</translation>
        </message>
        <message>
            <source>New privileges</source>
            <translation>Neue Rechte</translation>
        </message>
        <message>
            <source>New shell</source>
            <translation>Neue Shell</translation>
        </message>
        <message>
            <source>New shell (Ctrl+Shift+T)</source>
            <translation>Neue Shell (Strg+Umschalt+T)</translation>
        </message>
        <message>
            <source>Newer lines are not shown; Follow goes back to them</source>
            <translation>Neuere Zeilen werden nicht gezeigt; Folgen führt zu ihnen zurück</translation>
        </message>
        <message>
            <source>Next hit</source>
            <translation>Nächster Treffer</translation>
        </message>
        <message>
            <source>Next hit (F3)</source>
            <translation>Nächster Treffer (F3)</translation>
        </message>
        <message>
            <source>Next: let the docker command, Compose and your editor use Cove, as a context you can switch off.</source>
            <translation>Danach: Der Befehl docker, Compose und Editoren benutzen Cove, als Kontext, der sich abschalten lässt.</translation>
        </message>
        <message>
            <source>Next: see a container start.</source>
            <translation>Danach: Ein Container startet.</translation>
        </message>
        <message>
            <source>No</source>
            <translation>Nein</translation>
        </message>
        <message>
            <source>No Compose projects</source>
            <translation>Keine Compose-Projekte</translation>
        </message>
        <message>
            <source>No X-ray</source>
            <translation>Kein X-ray</translation>
        </message>
        <message>
            <source>No account, ever</source>
            <translation>Kein Konto, niemals</translation>
        </message>
        <message>
            <source>No build here</source>
            <translation>Hier ist kein Build</translation>
        </message>
        <message>
            <source>No build matches “{text}”</source>
            <translation>Kein Build passt zu „{text}“</translation>
        </message>
        <message>
            <source>No builds yet</source>
            <translation>Noch keine Builds</translation>
        </message>
        <message>
            <source>No contact</source>
            <translation>Kein Kontakt</translation>
        </message>
        <message>
            <source>No contact to the engine</source>
            <translation>Kein Kontakt zur Engine</translation>
        </message>
        <message>
            <source>No container has these volumes. Named ones may hold data that you want: tick what may go.</source>
            <translation>Kein Container hat diese Volumes. Benannte enthalten vielleicht Daten, die Sie brauchen: Kreuzen Sie an, was gelöscht werden darf.</translation>
        </message>
        <message>
            <source>No container here</source>
            <translation>Hier ist kein Container</translation>
        </message>
        <message>
            <source>No container is in a network</source>
            <translation>Kein Container ist in einem Netz</translation>
        </message>
        <message>
            <source>No container is in it.</source>
            <translation>Kein Container ist darin.</translation>
        </message>
        <message>
            <source>No container is in it. It can be created again with the same subnet.</source>
            <translation>Kein Container ist darin. Es kann mit demselben Subnetz wieder angelegt werden.</translation>
        </message>
        <message>
            <source>No container is in these networks.</source>
            <translation>In diesen Netzen ist kein Container.</translation>
        </message>
        <message>
            <source>No container matches “{text}”</source>
            <translation>Kein Container passt zu „{text}“</translation>
        </message>
        <message>
            <source>No container runs.</source>
            <translation>Kein Container läuft.</translation>
        </message>
        <message>
            <source>No container uses it.</source>
            <translation>Kein Container benutzt es.</translation>
        </message>
        <message>
            <source>No containers yet</source>
            <translation>Noch keine Container</translation>
        </message>
        <message>
            <source>No data</source>
            <translation>Keine Daten</translation>
        </message>
        <message>
            <source>No image here</source>
            <translation>Hier ist kein Image</translation>
        </message>
        <message>
            <source>No image matches “{text}”</source>
            <translation>Kein Image passt zu „{text}“</translation>
        </message>
        <message>
            <source>No images yet</source>
            <translation>Noch keine Images</translation>
        </message>
        <message>
            <source>No messages</source>
            <translation>Keine Meldungen</translation>
        </message>
        <message>
            <source>No network here</source>
            <translation>Hier ist kein Netz</translation>
        </message>
        <message>
            <source>No network matches “{text}”</source>
            <translation>Kein Netz passt zu „{text}“</translation>
        </message>
        <message>
            <source>No networks</source>
            <translation>Keine Netze</translation>
        </message>
        <message>
            <source>No project here</source>
            <translation>Hier ist kein Projekt</translation>
        </message>
        <message>
            <source>No project matches “{text}”</source>
            <translation>Kein Projekt passt zu „{text}“</translation>
        </message>
        <message>
            <source>No service in its file has a build.</source>
            <translation>Kein Dienst in seiner Datei hat ein build.</translation>
        </message>
        <message>
            <source>No shell is open in {name}</source>
            <translation>In {name} ist keine Shell offen</translation>
        </message>
        <message>
            <source>No volume here</source>
            <translation>Hier ist kein Volume</translation>
        </message>
        <message>
            <source>No volume matches “{text}”</source>
            <translation>Kein Volume passt zu „{text}“</translation>
        </message>
        <message>
            <source>No volumes yet</source>
            <translation>Noch keine Volumes</translation>
        </message>
        <message>
            <source>None beside this computer's own: --insecure-registry of the engine adds some.</source>
            <translation>Keine außer denen auf diesem Rechner: --insecure-registry der Engine fügt welche hinzu.</translation>
        </message>
        <message>
            <source>None in /etc/docker/certs.d and /etc/cove/certs.d, where the engine runs.</source>
            <translation>Keine in /etc/docker/certs.d und /etc/cove/certs.d, wo die Engine läuft.</translation>
        </message>
        <message>
            <source>None: --registry-mirror of the engine adds some.</source>
            <translation>Keine: --registry-mirror der Engine fügt welche hinzu.</translation>
        </message>
        <message>
            <source>None: containers cannot mount folders of this computer.</source>
            <translation>Keine: Container können keine Ordner dieses Rechners einhängen.</translation>
        </message>
        <message>
            <source>None: images are pulled as anybody may pull them, and none can be pushed.</source>
            <translation>Keine: Images werden geholt, wie es jeder darf, und keines kann hochgeladen werden.</translation>
        </message>
        <message>
            <source>Not following</source>
            <translation>Folgt nicht</translation>
        </message>
        <message>
            <source>Not in use</source>
            <translation>Nicht in Gebrauch</translation>
        </message>
        <message>
            <source>Not logged in</source>
            <translation>Nicht angemeldet</translation>
        </message>
        <message>
            <source>Not started</source>
            <translation>Nicht gestartet</translation>
        </message>
        <message>
            <source>Not started yet</source>
            <translation>Noch nicht gestartet</translation>
        </message>
        <message>
            <source>Nothing deleted matches “{text}”</source>
            <translation>Nichts Gelöschtes passt zu „{text}“</translation>
        </message>
        <message>
            <source>Nothing else was changed. The container exists, stopped.</source>
            <translation>Sonst wurde nichts verändert. Den Container gibt es, er ist angehalten.</translation>
        </message>
        <message>
            <source>Nothing has happened yet</source>
            <translation>Noch ist nichts geschehen</translation>
        </message>
        <message>
            <source>Nothing here</source>
            <translation>Hier ist nichts</translation>
        </message>
        <message>
            <source>Nothing here is needed, and all of it can be changed later in the settings.</source>
            <translation>Nichts davon ist nötig, und alles lässt sich später in den Einstellungen ändern.</translation>
        </message>
        <message>
            <source>Nothing is deleted. Those with a restart policy come back with the VM.</source>
            <translation>Nichts wird gelöscht. Die mit einer Neustart-Regel kommen mit der VM wieder.</translation>
        </message>
        <message>
            <source>Nothing is mounted. All that it writes is its own and goes with it.</source>
            <translation>Nichts ist eingehängt. Alles, was er schreibt, gehört ihm und geht mit ihm verloren.</translation>
        </message>
        <message>
            <source>Nothing is sent anywhere</source>
            <translation>Nichts wird irgendwohin gesendet</translation>
        </message>
        <message>
            <source>Nothing matches “{text}”</source>
            <translation>Nichts passt zu „{text}“</translation>
        </message>
        <message>
            <source>Nothing of that kind is in the bin</source>
            <translation>Nichts dieser Art ist im Papierkorb</translation>
        </message>
        <message>
            <source>Nothing of {name} is built</source>
            <translation>Von {name} wird nichts gebaut</translation>
        </message>
        <message>
            <source>Nothing to clean up</source>
            <translation>Nichts aufzuräumen</translation>
        </message>
        <message>
            <source>Nothing was left behind.</source>
            <translation>Nichts blieb zurück.</translation>
        </message>
        <message>
            <source>Nothing was printed</source>
            <translation>Es wurde nichts ausgegeben</translation>
        </message>
        <message>
            <source>Nothing yet</source>
            <translation>Noch nichts</translation>
        </message>
        <message>
            <source>One virtual machine carries all containers, so they share its start.</source>
            <translation>Eine virtuelle Maschine trägt alle Container, sie teilen sich also ihren Start.</translation>
        </message>
        <message>
            <source>Only Cove's own engine has one.</source>
            <translation>Nur die Engine von Cove hat eines.</translation>
        </message>
        <message>
            <source>Open</source>
            <translation>Öffnen</translation>
        </message>
        <message>
            <source>Open Cove</source>
            <translation>Cove öffnen</translation>
        </message>
        <message>
            <source>Open a new shell</source>
            <translation>Eine neue Shell öffnen</translation>
        </message>
        <message>
            <source>Open a shell</source>
            <translation>Eine Shell öffnen</translation>
        </message>
        <message>
            <source>Open compose files</source>
            <translation>Compose-Dateien öffnen</translation>
        </message>
        <message>
            <source>Open compose file…</source>
            <translation>Compose-Datei öffnen…</translation>
        </message>
        <message>
            <source>Open container</source>
            <translation>Container öffnen</translation>
        </message>
        <message>
            <source>Open the window</source>
            <translation>Das Fenster öffnen</translation>
        </message>
        <message>
            <source>Open {port}</source>
            <translation>{port} öffnen</translation>
        </message>
        <message>
            <source>Options</source>
            <translation>Optionen</translation>
        </message>
        <message>
            <source>Other engine</source>
            <translation>Andere Engine</translation>
        </message>
        <message>
            <source>Other shells</source>
            <translation>Andere Shells</translation>
        </message>
        <message>
            <source>Overview</source>
            <translation>Überblick</translation>
        </message>
        <message>
            <source>PID</source>
            <translation>PID</translation>
        </message>
        <message>
            <source>PID 1 is running</source>
            <translation>PID 1 läuft</translation>
        </message>
        <message>
            <source>Page</source>
            <translation>Seite</translation>
        </message>
        <message>
            <source>Pages</source>
            <translation>Seiten</translation>
        </message>
        <message>
            <source>Parent folder</source>
            <translation>Übergeordneter Ordner</translation>
        </message>
        <message>
            <source>Parent folder (Backspace)</source>
            <translation>Übergeordneter Ordner (Rücktaste)</translation>
        </message>
        <message>
            <source>Password or access token</source>
            <translation>Passwort oder Zugriffstoken</translation>
        </message>
        <message>
            <source>Pause</source>
            <translation>Pausieren</translation>
        </message>
        <message>
            <source>Paused</source>
            <translation>Pausiert</translation>
        </message>
        <message>
            <source>Paused, keeps its memory</source>
            <translation>Pausiert, behält seinen Speicher</translation>
        </message>
        <message>
            <source>Pausing</source>
            <translation>Pausiert gleich</translation>
        </message>
        <message>
            <source>Place in the container</source>
            <translation>Ort im Container</translation>
        </message>
        <message>
            <source>Platform</source>
            <translation>Plattform</translation>
        </message>
        <message>
            <source>Platforms</source>
            <translation>Plattformen</translation>
        </message>
        <message>
            <source>Port</source>
            <translation>Port</translation>
        </message>
        <message>
            <source>Port in the container</source>
            <translation>Port im Container</translation>
        </message>
        <message>
            <source>Port on this computer</source>
            <translation>Port auf diesem Rechner</translation>
        </message>
        <message>
            <source>Port {port}</source>
            <translation>Port {port}</translation>
        </message>
        <message>
            <source>Port {port} is added</source>
            <translation>Port {port} kommt hinzu</translation>
        </message>
        <message>
            <source>Port {port} is already taken on this computer</source>
            <translation>Port {port} ist auf diesem Rechner schon belegt</translation>
        </message>
        <message>
            <source>Port {port} is removed</source>
            <translation>Port {port} fällt weg</translation>
        </message>
        <message>
            <source>Port {port} of this computer, leads to {name}</source>
            <translation>Port {port} dieses Rechners, führt zu {name}</translation>
        </message>
        <message>
            <source>Ports</source>
            <translation>Ports</translation>
        </message>
        <message>
            <source>Ports of --network host</source>
            <translation>Ports von --network host</translation>
        </message>
        <message>
            <source>Prepare</source>
            <translation>Vorbereiten</translation>
        </message>
        <message>
            <source>Prepared</source>
            <translation>Vorbereitet</translation>
        </message>
        <message>
            <source>Preview</source>
            <translation>Vorschau</translation>
        </message>
        <message>
            <source>Previous hit</source>
            <translation>Voriger Treffer</translation>
        </message>
        <message>
            <source>Previous hit (Shift+F3)</source>
            <translation>Voriger Treffer (Umschalt+F3)</translation>
        </message>
        <message>
            <source>Privileged</source>
            <translation>Privilegiert</translation>
        </message>
        <message>
            <source>Problem</source>
            <translation>Problem</translation>
        </message>
        <message>
            <source>Problems</source>
            <translation>Probleme</translation>
        </message>
        <message>
            <source>Process</source>
            <translation>Prozess</translation>
        </message>
        <message>
            <source>Processes</source>
            <translation>Prozesse</translation>
        </message>
        <message>
            <source>Processor</source>
            <translation>Prozessor</translation>
        </message>
        <message>
            <source>Project {name} is up</source>
            <translation>Projekt {name} läuft</translation>
        </message>
        <message>
            <source>Project {name} was deleted</source>
            <translation>Projekt {name} wurde gelöscht</translation>
        </message>
        <message>
            <source>Project {name} was not brought up</source>
            <translation>Projekt {name} wurde nicht gestartet</translation>
        </message>
        <message>
            <source>Project {name} was not deleted completely</source>
            <translation>Projekt {name} wurde nicht ganz gelöscht</translation>
        </message>
        <message>
            <source>Protocol</source>
            <translation>Protokoll</translation>
        </message>
        <message>
            <source>Proxies</source>
            <translation>Proxys</translation>
        </message>
        <message>
            <source>Published ports</source>
            <translation>Veröffentlichte Ports</translation>
        </message>
        <message>
            <source>Pull</source>
            <translation>Holen</translation>
        </message>
        <message>
            <source>Pull an image</source>
            <translation>Ein Image holen</translation>
        </message>
        <message>
            <source>Pull an image…</source>
            <translation>Ein Image holen…</translation>
        </message>
        <message>
            <source>Pull and run</source>
            <translation>Holen und ausführen</translation>
        </message>
        <message>
            <source>Pull one from a registry; running an unknown one pulls it too.</source>
            <translation>Holen Sie eines aus einer Registry; auch beim Ausführen wird ein unbekanntes geholt.</translation>
        </message>
        <message>
            <source>Pull {image}</source>
            <translation>{image} holen</translation>
        </message>
        <message>
            <source>Pulling {image}</source>
            <translation>{image} wird geholt</translation>
        </message>
        <message>
            <source>Pull…</source>
            <translation>Holen…</translation>
        </message>
        <message>
            <source>Push</source>
            <translation>Hochladen</translation>
        </message>
        <message>
            <source>Push {image}</source>
            <translation>{image} hochladen</translation>
        </message>
        <message>
            <source>Push {name}</source>
            <translation>{name} hochladen</translation>
        </message>
        <message>
            <source>Pushing {image}</source>
            <translation>{image} wird hochgeladen</translation>
        </message>
        <message>
            <source>Push…</source>
            <translation>Hochladen…</translation>
        </message>
        <message>
            <source>Quick run</source>
            <translation>Schnellstart</translation>
        </message>
        <message>
            <source>Quick run…</source>
            <translation>Schnellstart…</translation>
        </message>
        <message>
            <source>Quit Cove</source>
            <translation>Cove beenden</translation>
        </message>
        <message>
            <source>Re-create {name}</source>
            <translation>{name} neu anlegen</translation>
        </message>
        <message>
            <source>Read again</source>
            <translation>Neu lesen</translation>
        </message>
        <message>
            <source>Read and write</source>
            <translation>Lesen und schreiben</translation>
        </message>
        <message>
            <source>Read only</source>
            <translation>Nur lesen</translation>
        </message>
        <message>
            <source>Recent images</source>
            <translation>Letzte Images</translation>
        </message>
        <message>
            <source>Registries</source>
            <translation>Registries</translation>
        </message>
        <message>
            <source>Registry, e.g. ghcr.io; empty: Docker Hub</source>
            <translation>Registry, z. B. ghcr.io; leer: Docker Hub</translation>
        </message>
        <message>
            <source>Remove</source>
            <translation>Entfernen</translation>
        </message>
        <message>
            <source>Remove {folder}</source>
            <translation>{folder} entfernen</translation>
        </message>
        <message>
            <source>Rename</source>
            <translation>Umbenennen</translation>
        </message>
        <message>
            <source>Rename volume {name}</source>
            <translation>Volume {name} umbenennen</translation>
        </message>
        <message>
            <source>Rename {name}</source>
            <translation>{name} umbenennen</translation>
        </message>
        <message>
            <source>Rename…</source>
            <translation>Umbenennen…</translation>
        </message>
        <message>
            <source>Replace</source>
            <translation>Ersetzen</translation>
        </message>
        <message>
            <source>Replace {names}?</source>
            <translation>{names} ersetzen?</translation>
        </message>
        <message>
            <source>Resources</source>
            <translation>Ressourcen</translation>
        </message>
        <message>
            <source>Rest when idle</source>
            <translation>Ruhe ohne Arbeit</translation>
        </message>
        <message>
            <source>Restart</source>
            <translation>Neu starten</translation>
        </message>
        <message>
            <source>Restart the VM</source>
            <translation>VM neu starten</translation>
        </message>
        <message>
            <source>Restart the VM?</source>
            <translation>VM neu starten?</translation>
        </message>
        <message>
            <source>Restart the VM…</source>
            <translation>VM neu starten…</translation>
        </message>
        <message>
            <source>Restart {name}</source>
            <translation>{name} neu starten</translation>
        </message>
        <message>
            <source>Restarted {n} time</source>
            <translation>{n}-mal neu gestartet</translation>
        </message>
        <message>
            <source>Restarted {n} time, last exit status {code}</source>
            <translation>{n}-mal neu gestartet, letzter Exit-Status {code}</translation>
        </message>
        <message numerus="yes">
            <source>Restarted {n} times</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n}-mal neu gestartet</numerusform>
                <numerusform>{n}-mal neu gestartet</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Restarted {n} times, last exit status {code}</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n}-mal neu gestartet, letzter Exit-Status {code}</numerusform>
                <numerusform>{n}-mal neu gestartet, letzter Exit-Status {code}</numerusform>
            </translation>
        </message>
        <message>
            <source>Restarting</source>
            <translation>Startet neu</translation>
        </message>
        <message>
            <source>Restore the saved state</source>
            <translation>Gesicherten Zustand laden</translation>
        </message>
        <message>
            <source>Result</source>
            <translation>Ergebnis</translation>
        </message>
        <message>
            <source>Resume</source>
            <translation>Fortsetzen</translation>
        </message>
        <message>
            <source>Resuming</source>
            <translation>Läuft gleich weiter</translation>
        </message>
        <message>
            <source>Run</source>
            <translation>Ausführen</translation>
        </message>
        <message>
            <source>Run a command on a terminal</source>
            <translation>Einen Befehl in einem Terminal ausführen</translation>
        </message>
        <message>
            <source>Run again: {image}</source>
            <translation>Noch einmal: {image}</translation>
        </message>
        <message>
            <source>Run an image</source>
            <translation>Ein Image ausführen</translation>
        </message>
        <message>
            <source>Run an image (Ctrl+N)</source>
            <translation>Ein Image ausführen (Strg+N)</translation>
        </message>
        <message>
            <source>Run an image…</source>
            <translation>Ein Image ausführen…</translation>
        </message>
        <message>
            <source>Run another image…</source>
            <translation>Ein anderes Image ausführen…</translation>
        </message>
        <message>
            <source>Run it again</source>
            <translation>Noch einmal ausführen</translation>
        </message>
        <message>
            <source>Run the one that came with Cove, or any image you know by name.</source>
            <translation>Führen Sie das Image aus, das Cove mitbringt, oder irgendeines, dessen Namen Sie kennen.</translation>
        </message>
        <message>
            <source>Run with a generated name</source>
            <translation>Mit einem erzeugten Namen ausführen</translation>
        </message>
        <message>
            <source>Run your first container</source>
            <translation>Den ersten Container ausführen</translation>
        </message>
        <message>
            <source>Run {image}</source>
            <translation>{image} ausführen</translation>
        </message>
        <message>
            <source>Run, find or do</source>
            <translation>Ausführen, finden oder tun</translation>
        </message>
        <message>
            <source>Running</source>
            <translation>Läuft</translation>
        </message>
        <message>
            <source>Running {image}</source>
            <translation>{image} wird ausgeführt</translation>
        </message>
        <message>
            <source>Run…</source>
            <translation>Ausführen…</translation>
        </message>
        <message>
            <source>SIGKILL ends it at once. What it has not written yet is lost; Stop lets it end by itself.</source>
            <translation>SIGKILL beendet ihn sofort. Was er noch nicht geschrieben hat, geht verloren; mit Anhalten endet er von selbst.</translation>
        </message>
        <message>
            <source>Save a report</source>
            <translation>Bericht speichern</translation>
        </message>
        <message>
            <source>Save a report…</source>
            <translation>Bericht speichern…</translation>
        </message>
        <message>
            <source>Save images</source>
            <translation>Images speichern</translation>
        </message>
        <message>
            <source>Save it for later starts</source>
            <translation>Für spätere Starts sichern</translation>
        </message>
        <message>
            <source>Save {n}…</source>
            <translation>{n} speichern…</translation>
        </message>
        <message>
            <source>Saved until it is used</source>
            <translation>Gesichert bis zum Gebrauch</translation>
        </message>
        <message>
            <source>Save…</source>
            <translation>Speichern…</translation>
        </message>
        <message>
            <source>Saving {names}</source>
            <translation>{names} wird gespeichert</translation>
        </message>
        <message>
            <source>Search or type a command</source>
            <translation>Suchen oder Befehl eingeben</translation>
        </message>
        <message>
            <source>See a container start</source>
            <translation>Ein Container startet</translation>
        </message>
        <message>
            <source>Select none</source>
            <translation>Keine auswählen</translation>
        </message>
        <message>
            <source>Sending</source>
            <translation>Wird gesendet</translation>
        </message>
        <message>
            <source>Set and start</source>
            <translation>Setzen und starten</translation>
        </message>
        <message>
            <source>Set up</source>
            <translation>Eingerichtet</translation>
        </message>
        <message>
            <source>Settings</source>
            <translation>Einstellungen</translation>
        </message>
        <message>
            <source>Shared folders</source>
            <translation>Geteilte Ordner</translation>
        </message>
        <message>
            <source>Shell {n}</source>
            <translation>Shell {n}</translation>
        </message>
        <message>
            <source>Shells</source>
            <translation>Shells</translation>
        </message>
        <message>
            <source>Show</source>
            <translation>Zeigen</translation>
        </message>
        <message>
            <source>Show image</source>
            <translation>Image zeigen</translation>
        </message>
        <message>
            <source>Show memory</source>
            <translation>Speicher zeigen</translation>
        </message>
        <message>
            <source>Show registries</source>
            <translation>Registries zeigen</translation>
        </message>
        <message>
            <source>Show secrets</source>
            <translation>Geheimes zeigen</translation>
        </message>
        <message>
            <source>Show the bin</source>
            <translation>Papierkorb zeigen</translation>
        </message>
        <message>
            <source>Show the build</source>
            <translation>Build anzeigen</translation>
        </message>
        <message>
            <source>Show the value</source>
            <translation>Wert zeigen</translation>
        </message>
        <message>
            <source>Show the welcome</source>
            <translation>Willkommensseite zeigen</translation>
        </message>
        <message>
            <source>Show troubleshooting</source>
            <translation>Fehlersuche zeigen</translation>
        </message>
        <message>
            <source>Show {name}</source>
            <translation>{name} zeigen</translation>
        </message>
        <message>
            <source>Size</source>
            <translation>Größe</translation>
        </message>
        <message>
            <source>Size of the text</source>
            <translation>Größe der Schrift</translation>
        </message>
        <message>
            <source>Skip to the window</source>
            <translation>Gleich zum Fenster</translation>
        </message>
        <message>
            <source>Smaller</source>
            <translation>Kleiner</translation>
        </message>
        <message>
            <source>Smaller (-)</source>
            <translation>Kleiner (-)</translation>
        </message>
        <message>
            <source>Something in Cove's window failed</source>
            <translation>Im Fenster von Cove ist etwas fehlgeschlagen</translation>
        </message>
        <message>
            <source>Start</source>
            <translation>Starten</translation>
        </message>
        <message>
            <source>Start Cove at login</source>
            <translation>Cove beim Anmelden starten</translation>
        </message>
        <message>
            <source>Start QEMU</source>
            <translation>QEMU starten</translation>
        </message>
        <message>
            <source>Start VM</source>
            <translation>VM starten</translation>
        </message>
        <message>
            <source>Start the VM</source>
            <translation>VM starten</translation>
        </message>
        <message>
            <source>Start the engine</source>
            <translation>Engine starten</translation>
        </message>
        <message>
            <source>Start the system</source>
            <translation>System starten</translation>
        </message>
        <message>
            <source>Start with {limit}</source>
            <translation>Mit {limit} starten</translation>
        </message>
        <message>
            <source>Start without a port</source>
            <translation>Ohne Port starten</translation>
        </message>
        <message>
            <source>Start {name}</source>
            <translation>{name} starten</translation>
        </message>
        <message>
            <source>Starting</source>
            <translation>Startet</translation>
        </message>
        <message>
            <source>State</source>
            <translation>Zustand</translation>
        </message>
        <message>
            <source>Stats</source>
            <translation>Messwerte</translation>
        </message>
        <message>
            <source>Status</source>
            <translation>Status</translation>
        </message>
        <message>
            <source>Stay logged in</source>
            <translation>Angemeldet bleiben</translation>
        </message>
        <message>
            <source>Step</source>
            <translation>Schritt</translation>
        </message>
        <message>
            <source>Step {n} of {of}: {title}</source>
            <translation>Schritt {n} von {of}: {title}</translation>
        </message>
        <message>
            <source>Steps</source>
            <translation>Schritte</translation>
        </message>
        <message>
            <source>Steps of the build</source>
            <translation>Schritte des Builds</translation>
        </message>
        <message>
            <source>Steps of the start</source>
            <translation>Schritte des Starts</translation>
        </message>
        <message>
            <source>Stop</source>
            <translation>Anhalten</translation>
        </message>
        <message>
            <source>Stop VM</source>
            <translation>VM anhalten</translation>
        </message>
        <message>
            <source>Stop the VM</source>
            <translation>VM anhalten</translation>
        </message>
        <message>
            <source>Stop the VM?</source>
            <translation>VM anhalten?</translation>
        </message>
        <message>
            <source>Stop the VM…</source>
            <translation>VM anhalten…</translation>
        </message>
        <message>
            <source>Stop trying</source>
            <translation>Nicht weiter versuchen</translation>
        </message>
        <message>
            <source>Stopped</source>
            <translation>Angehalten</translation>
        </message>
        <message>
            <source>Stopped by signal {n}</source>
            <translation>Durch Signal {n} beendet</translation>
        </message>
        <message>
            <source>Stopped by the CPU limit</source>
            <translation>Von der CPU-Grenze gebremst</translation>
        </message>
        <message>
            <source>Stopped containers were made from it: {names}.</source>
            <translation>Angehaltene Container stammen von ihm: {names}.</translation>
        </message>
        <message>
            <source>Stopped unexpectedly</source>
            <translation>Unerwartet stehen geblieben</translation>
        </message>
        <message>
            <source>Stopped with the engine</source>
            <translation>Mit der Engine angehalten</translation>
        </message>
        <message>
            <source>Stopped, by force</source>
            <translation>Angehalten, mit Gewalt</translation>
        </message>
        <message>
            <source>Stopping</source>
            <translation>Hält an</translation>
        </message>
        <message>
            <source>Subnet</source>
            <translation>Subnetz</translation>
        </message>
        <message>
            <source>Subnet, e.g. 172.30.0.0/24; empty: the engine chooses</source>
            <translation>Subnetz, z. B. 172.30.0.0/24; leer: die Engine wählt</translation>
        </message>
        <message>
            <source>System calls</source>
            <translation>Systemaufrufe</translation>
        </message>
        <message>
            <source>Target</source>
            <translation>Ziel</translation>
        </message>
        <message>
            <source>Terminal</source>
            <translation>Terminal</translation>
        </message>
        <message>
            <source>Test</source>
            <translation>Testen</translation>
        </message>
        <message>
            <source>Test a registry</source>
            <translation>Eine Registry testen</translation>
        </message>
        <message>
            <source>Test {name}</source>
            <translation>{name} testen</translation>
        </message>
        <message>
            <source>The Dockerfile</source>
            <translation>Das Dockerfile</translation>
        </message>
        <message>
            <source>The bin is empty</source>
            <translation>Der Papierkorb ist leer</translation>
        </message>
        <message>
            <source>The build cache</source>
            <translation>Der Build-Cache</translation>
        </message>
        <message>
            <source>The build cache could not be cleaned up</source>
            <translation>Der Build-Cache konnte nicht aufgeräumt werden</translation>
        </message>
        <message>
            <source>The build cache is empty, or a build uses all of it.</source>
            <translation>Der Build-Cache ist leer, oder ein Build braucht ihn ganz.</translation>
        </message>
        <message>
            <source>The build cache was cleaned up</source>
            <translation>Der Build-Cache ist aufgeräumt</translation>
        </message>
        <message>
            <source>The build could not be cancelled</source>
            <translation>Der Build konnte nicht abgebrochen werden</translation>
        </message>
        <message>
            <source>The build of {name} could not be deleted</source>
            <translation>Der Build von {name} konnte nicht gelöscht werden</translation>
        </message>
        <message>
            <source>The command {name} is not in the image</source>
            <translation>Den Befehl {name} gibt es im Image nicht</translation>
        </message>
        <message>
            <source>The compose file</source>
            <translation>Die Compose-Datei</translation>
        </message>
        <message>
            <source>The compose file was not compared</source>
            <translation>Die Compose-Datei wurde nicht verglichen</translation>
        </message>
        <message>
            <source>The container could not be made</source>
            <translation>Der Container konnte nicht angelegt werden</translation>
        </message>
        <message>
            <source>The container could not start</source>
            <translation>Der Container konnte nicht starten</translation>
        </message>
        <message>
            <source>The container did not start</source>
            <translation>Der Container startete nicht</translation>
        </message>
        <message>
            <source>The container {name}</source>
            <translation>Der Container {name}</translation>
        </message>
        <message>
            <source>The container's files could not be mounted</source>
            <translation>Die Dateien des Containers konnten nicht eingehängt werden</translation>
        </message>
        <message>
            <source>The content of the tar becomes that of a volume. It may be compressed by gzip, bzip2, xz or zstd.</source>
            <translation>Der Inhalt des Tars wird der eines Volumes. Es kann mit gzip, bzip2, xz oder zstd komprimiert sein.</translation>
        </message>
        <message>
            <source>The context “cove” is for another engine now: {host}</source>
            <translation>Der Kontext „cove“ ist zurzeit für eine andere Engine: {host}</translation>
        </message>
        <message>
            <source>The context “cove” is there. This makes it the one that they use:</source>
            <translation>Der Kontext „cove“ ist da. Damit benutzen sie ihn:</translation>
        </message>
        <message>
            <source>The disk is full</source>
            <translation>Die Platte ist voll</translation>
        </message>
        <message>
            <source>The engine</source>
            <translation>Die Engine</translation>
        </message>
        <message>
            <source>The engine could not look for {image}</source>
            <translation>Die Engine konnte {image} nicht suchen</translation>
        </message>
        <message>
            <source>The engine did not start</source>
            <translation>Die Engine ist nicht gestartet</translation>
        </message>
        <message>
            <source>The engine does not answer</source>
            <translation>Die Engine antwortet nicht</translation>
        </message>
        <message>
            <source>The engine has not told any yet.</source>
            <translation>Die Engine hat noch keine genannt.</translation>
        </message>
        <message>
            <source>The engine is starting</source>
            <translation>Die Engine startet</translation>
        </message>
        <message>
            <source>The engine is stopped</source>
            <translation>Die Engine steht</translation>
        </message>
        <message>
            <source>The engine runs</source>
            <translation>Die Engine läuft</translation>
        </message>
        <message>
            <source>The engine started in {time}</source>
            <translation>Die Engine startete in {time}</translation>
        </message>
        <message>
            <source>The error</source>
            <translation>Der Fehler</translation>
        </message>
        <message>
            <source>The figures were not exported</source>
            <translation>Die Messwerte wurden nicht exportiert</translation>
        </message>
        <message>
            <source>The file cannot be read here: {error}</source>
            <translation>Die Datei kann hier nicht gelesen werden: {error}</translation>
        </message>
        <message>
            <source>The file has {value}: {why}</source>
            <translation>In der Datei steht {value}: {why}</translation>
        </message>
        <message>
            <source>The file is saved first.</source>
            <translation>Zuerst wird die Datei gespeichert.</translation>
        </message>
        <message>
            <source>The files cannot be read</source>
            <translation>Die Dateien können nicht gelesen werden</translation>
        </message>
        <message>
            <source>The five steps</source>
            <translation>Die fünf Schritte</translation>
        </message>
        <message>
            <source>The host agent does not answer: {why}</source>
            <translation>Der Host-Agent antwortet nicht: {why}</translation>
        </message>
        <message>
            <source>The image stays, under {names}.</source>
            <translation>Das Image bleibt, unter {names}.</translation>
        </message>
        <message>
            <source>The last start</source>
            <translation>Der letzte Start</translation>
        </message>
        <message>
            <source>The layers are unknown</source>
            <translation>Die Schichten sind nicht bekannt</translation>
        </message>
        <message>
            <source>The list below is from {time}, before contact was lost.</source>
            <translation>Die Liste unten ist von {time}, bevor der Kontakt abriss.</translation>
        </message>
        <message>
            <source>The list below is from {time}, before it stopped.</source>
            <translation>Die Liste unten ist von {time}, bevor sie anhielt.</translation>
        </message>
        <message>
            <source>The list of images</source>
            <translation>Die Liste der Images</translation>
        </message>
        <message>
            <source>The list of networks</source>
            <translation>Die Liste der Netze</translation>
        </message>
        <message>
            <source>The list of volumes</source>
            <translation>Die Liste der Volumes</translation>
        </message>
        <message>
            <source>The login could not be removed</source>
            <translation>Die Anmeldung konnte nicht entfernt werden</translation>
        </message>
        <message>
            <source>The login is removed for docker, too. Nothing changes at the registry.</source>
            <translation>Die Anmeldung wird auch für docker entfernt. Bei der Registry ändert sich nichts.</translation>
        </message>
        <message>
            <source>The look could not be kept</source>
            <translation>Das Aussehen konnte nicht behalten werden</translation>
        </message>
        <message>
            <source>The name says where to: registry.example/app:1 is sent to registry.example, a name without a registry to Docker Hub. Whoever may read there can then pull it.</source>
            <translation>Der Name sagt, wohin: registry.example/app:1 geht an registry.example, ein Name ohne Registry an Docker Hub. Wer dort lesen darf, kann es dann holen.</translation>
        </message>
        <message>
            <source>The name {name} is already taken</source>
            <translation>Der Name {name} ist schon vergeben</translation>
        </message>
        <message>
            <source>The new volume gets a copy of the files. What a container writes meanwhile may be missing in it.</source>
            <translation>Das neue Volume bekommt eine Kopie der Dateien. Was ein Container währenddessen schreibt, kann darin fehlen.</translation>
        </message>
        <message>
            <source>The old container could not be deleted; it is called {old}.</source>
            <translation>Der alte Container konnte nicht gelöscht werden; er heißt {old}.</translation>
        </message>
        <message>
            <source>The processes cannot be read</source>
            <translation>Die Prozesse können nicht gelesen werden</translation>
        </message>
        <message>
            <source>The program itself returned this status; its last lines are below.</source>
            <translation>Das Programm selbst gab diesen Status zurück; seine letzten Zeilen stehen unten.</translation>
        </message>
        <message>
            <source>The program {name}</source>
            <translation>Das Programm {name}</translation>
        </message>
        <message>
            <source>The project's networks could not be read</source>
            <translation>Die Netze des Projekts konnten nicht gelesen werden</translation>
        </message>
        <message>
            <source>The reason</source>
            <translation>Der Grund</translation>
        </message>
        <message>
            <source>The registry checks user and password. docker uses the same logins.</source>
            <translation>Die Registry prüft Benutzer und Passwort. docker benutzt dieselben Anmeldungen.</translation>
        </message>
        <message>
            <source>The registry is asked…</source>
            <translation>Die Registry wird gefragt…</translation>
        </message>
        <message>
            <source>The registry of {image} cannot be reached</source>
            <translation>Die Registry von {image} ist nicht erreichbar</translation>
        </message>
        <message>
            <source>The report was not saved</source>
            <translation>Der Bericht wurde nicht gespeichert</translation>
        </message>
        <message>
            <source>The report was saved</source>
            <translation>Der Bericht wurde gespeichert</translation>
        </message>
        <message>
            <source>The request to the VM failed</source>
            <translation>Die Anfrage an die VM ist fehlgeschlagen</translation>
        </message>
        <message>
            <source>The same as a command</source>
            <translation>Dasselbe als Befehl</translation>
        </message>
        <message>
            <source>The settings cannot be read. {why}</source>
            <translation>Die Einstellungen können nicht gelesen werden. {why}</translation>
        </message>
        <message>
            <source>The shell ended with status {code}.</source>
            <translation>Die Shell endete mit Status {code}.</translation>
        </message>
        <message>
            <source>The terminal of {name} was resized</source>
            <translation>Das Terminal von {name} hat eine neue Größe</translation>
        </message>
        <message>
            <source>The tool that made it does not say where its compose file is.</source>
            <translation>Das Programm, das es angelegt hat, sagt nicht, wo die Compose-Datei liegt.</translation>
        </message>
        <message>
            <source>The virtual machine</source>
            <translation>Die virtuelle Maschine</translation>
        </message>
        <message>
            <source>The virtual machine stopped</source>
            <translation>Die virtuelle Maschine ist stehen geblieben</translation>
        </message>
        <message numerus="yes">
            <source>Their files go with them.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Seine Dateien gehen mit ihm verloren.</numerusform>
                <numerusform>Ihre Dateien gehen mit ihnen verloren.</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>Their files, {size}, go with them.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Seine Dateien, {size}, gehen mit ihm verloren.</numerusform>
                <numerusform>Ihre Dateien, {size}, gehen mit ihnen verloren.</numerusform>
            </translation>
        </message>
        <message>
            <source>Their own files and logs go with them.</source>
            <translation>Ihre eigenen Dateien und Logs werden mit gelöscht.</translation>
        </message>
        <message>
            <source>Theme</source>
            <translation>Aussehen</translation>
        </message>
        <message>
            <source>There is no folder {path}</source>
            <translation>Es gibt keinen Ordner {path}</translation>
        </message>
        <message>
            <source>There is no image {image}</source>
            <translation>Es gibt kein Image {image}</translation>
        </message>
        <message>
            <source>There is no such folder now.</source>
            <translation>Diesen Ordner gibt es jetzt nicht.</translation>
        </message>
        <message>
            <source>There is no such program on the image's PATH (exit status 127). {left}</source>
            <translation>Dieses Programm gibt es im PATH des Images nicht (Exit-Status 127). {left}</translation>
        </message>
        <message>
            <source>There is no such shell in this container.</source>
            <translation>Diese Shell gibt es in dem Container nicht.</translation>
        </message>
        <message>
            <source>There was no room for it. {left}</source>
            <translation>Es war kein Platz dafür. {left}</translation>
        </message>
        <message numerus="yes">
            <source>These volumes are in use</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Volume {name} ist in Gebrauch</numerusform>
                <numerusform>Diese Volumes sind in Gebrauch</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>These {n} changes are made; the rest stays as it is.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Nur das wird geändert; alles andere bleibt, wie es ist.</numerusform>
                <numerusform>Diese {n} Änderungen werden gemacht; alles andere bleibt, wie es ist.</numerusform>
            </translation>
        </message>
        <message>
            <source>They are in {path} of {name} already.</source>
            <translation>Das gibt es in {path} von {name} schon.</translation>
        </message>
        <message>
            <source>They can be brought back from the bin for 24 hours, and take their space until then.</source>
            <translation>Sie können 24 Stunden lang aus dem Papierkorb zurückgeholt werden und belegen so lange ihren Platz.</translation>
        </message>
        <message>
            <source>This Linux, no VM</source>
            <translation>Dieses Linux, keine VM</translation>
        </message>
        <message>
            <source>This cannot be undone.</source>
            <translation>Das lässt sich nicht rückgängig machen.</translation>
        </message>
        <message>
            <source>This cannot be undone; it can be pulled again if a registry has it.</source>
            <translation>Das lässt sich nicht rückgängig machen; wenn eine Registry es hat, kann es wieder geholt werden.</translation>
        </message>
        <message>
            <source>This cannot be undone; they can be pulled again if a registry has them.</source>
            <translation>Das lässt sich nicht rückgängig machen; wenn eine Registry sie hat, können sie wieder geholt werden.</translation>
        </message>
        <message>
            <source>This compose file is not brought up</source>
            <translation>Diese Compose-Datei wird nicht ausgeführt</translation>
        </message>
        <message>
            <source>This computer</source>
            <translation>Dieser Rechner</translation>
        </message>
        <message>
            <source>This computer runs Linux, so containers need no virtual machine: the engine starts them beside your other programs.</source>
            <translation>Auf diesem Computer läuft Linux, also brauchen Container keine virtuelle Maschine: Die Engine startet sie neben den anderen Programmen.</translation>
        </message>
        <message>
            <source>This engine cannot do that: it is not Cove's.</source>
            <translation>Diese Engine kann das nicht: Es ist nicht die von Cove.</translation>
        </message>
        <message>
            <source>This engine does not tell what containers use.</source>
            <translation>Diese Engine sagt nicht, was Container verbrauchen.</translation>
        </message>
        <message>
            <source>This is no text.</source>
            <translation>Das ist kein Text.</translation>
        </message>
        <message>
            <source>This one change is made; the rest stays as it is.</source>
            <translation>Nur das wird geändert; alles andere bleibt, wie es ist.</translation>
        </message>
        <message>
            <source>This window's engine runs without a virtual machine: memory, shared folders, ports and proxies are those of the system that it runs on, and the VM's settings are not shown.</source>
            <translation>Die Engine dieses Fensters läuft ohne virtuelle Maschine: Speicher, geteilte Ordner, Ports und Proxys sind die des Systems, auf dem sie läuft, und die Einstellungen der VM werden nicht gezeigt.</translation>
        </message>
        <message>
            <source>Time</source>
            <translation>Zeit</translation>
        </message>
        <message>
            <source>Time to first output</source>
            <translation>Zeit bis zur ersten Ausgabe</translation>
        </message>
        <message>
            <source>Traffic</source>
            <translation>Verkehr</translation>
        </message>
        <message>
            <source>Troubleshoot</source>
            <translation>Fehlersuche</translation>
        </message>
        <message>
            <source>Try again</source>
            <translation>Noch einmal</translation>
        </message>
        <message>
            <source>Undo</source>
            <translation>Rückgängig</translation>
        </message>
        <message>
            <source>Undo the last deletion</source>
            <translation>Die letzte Löschung rückgängig machen</translation>
        </message>
        <message>
            <source>Unknown</source>
            <translation>Unbekannt</translation>
        </message>
        <message>
            <source>Unknown, was changing</source>
            <translation>Unbekannt, im Wechsel</translation>
        </message>
        <message>
            <source>Unknown, was running</source>
            <translation>Unbekannt, lief</translation>
        </message>
        <message>
            <source>Unless I stop it</source>
            <translation>Außer ich halte ihn an</translation>
        </message>
        <message>
            <source>Unpacking</source>
            <translation>Wird entpackt</translation>
        </message>
        <message>
            <source>Untagged</source>
            <translation>Ohne Namen</translation>
        </message>
        <message>
            <source>Unused objects were deleted</source>
            <translation>Unbenutztes wurde gelöscht</translation>
        </message>
        <message>
            <source>Up to {size} is in images that no container uses, and in the build cache.</source>
            <translation>Bis zu {size} sind in Images, die kein Container benutzt, und im Build-Cache.</translation>
        </message>
        <message>
            <source>Up to {size} of layers is freed; layers that other images share stay.</source>
            <translation>Bis zu {size} an Schichten werden frei; Schichten, die andere Images teilen, bleiben.</translation>
        </message>
        <message>
            <source>Upload into {path}</source>
            <translation>Nach {path} hochladen</translation>
        </message>
        <message>
            <source>Uploading {names}</source>
            <translation>{names} wird hochgeladen</translation>
        </message>
        <message>
            <source>Upload…</source>
            <translation>Hochladen…</translation>
        </message>
        <message>
            <source>Uptime</source>
            <translation>Laufzeit</translation>
        </message>
        <message>
            <source>Use a number from 1 to 65535.</source>
            <translation>Eine Zahl von 1 bis 65535.</translation>
        </message>
        <message>
            <source>Use a number of CPUs, such as 0.5 or 2.</source>
            <translation>Eine Zahl von CPUs, etwa 0.5 oder 2.</translation>
        </message>
        <message>
            <source>Use a number of MB, 6 or more.</source>
            <translation>Eine Zahl in MB, 6 oder mehr.</translation>
        </message>
        <message>
            <source>Use port {port} and start</source>
            <translation>Port {port} nehmen und starten</translation>
        </message>
        <message>
            <source>Use the dark theme</source>
            <translation>Dunkles Aussehen</translation>
        </message>
        <message>
            <source>Use the default</source>
            <translation>Vorgabe benutzen</translation>
        </message>
        <message>
            <source>Use the default: {title}</source>
            <translation>Vorgabe benutzen: {title}</translation>
        </message>
        <message>
            <source>Use the desktop's theme</source>
            <translation>Aussehen wie der Desktop</translation>
        </message>
        <message>
            <source>Use the light theme</source>
            <translation>Helles Aussehen</translation>
        </message>
        <message>
            <source>Used by</source>
            <translation>Benutzt von</translation>
        </message>
        <message>
            <source>User</source>
            <translation>Benutzer</translation>
        </message>
        <message>
            <source>Users outside</source>
            <translation>Benutzer außen</translation>
        </message>
        <message>
            <source>Value</source>
            <translation>Wert</translation>
        </message>
        <message>
            <source>Variable</source>
            <translation>Variable</translation>
        </message>
        <message>
            <source>Views of the build</source>
            <translation>Ansichten des Builds</translation>
        </message>
        <message>
            <source>Views of the container</source>
            <translation>Ansichten des Containers</translation>
        </message>
        <message>
            <source>Views of the image</source>
            <translation>Ansichten des Images</translation>
        </message>
        <message>
            <source>Views of the network</source>
            <translation>Ansichten des Netzes</translation>
        </message>
        <message>
            <source>Views of the project</source>
            <translation>Ansichten des Projekts</translation>
        </message>
        <message>
            <source>Views of the volume</source>
            <translation>Ansichten des Volumes</translation>
        </message>
        <message>
            <source>Virtual machine</source>
            <translation>Virtuelle Maschine</translation>
        </message>
        <message>
            <source>Volume</source>
            <translation>Volume</translation>
        </message>
        <message>
            <source>Volume or folder</source>
            <translation>Volume oder Ordner</translation>
        </message>
        <message>
            <source>Volume {names} stays, unless the box is ticked.</source>
            <translation>Das Volume {names} bleibt, außer das Kästchen ist angekreuzt.</translation>
        </message>
        <message>
            <source>Volume {name}</source>
            <translation>Volume {name}</translation>
        </message>
        <message>
            <source>Volume {name} exists already.</source>
            <translation>Volume {name} gibt es schon.</translation>
        </message>
        <message>
            <source>Volume {name} is in use</source>
            <translation>Volume {name} ist in Gebrauch</translation>
        </message>
        <message>
            <source>Volume {name} was exported to {file}</source>
            <translation>Volume {name} wurde nach {file} exportiert</translation>
        </message>
        <message>
            <source>Volume {name} was imported</source>
            <translation>Volume {name} wurde importiert</translation>
        </message>
        <message>
            <source>Volume {name} was not cloned</source>
            <translation>Volume {name} wurde nicht kopiert</translation>
        </message>
        <message>
            <source>Volume {name} was not created</source>
            <translation>Volume {name} wurde nicht angelegt</translation>
        </message>
        <message>
            <source>Volume {name} was not deleted</source>
            <translation>Volume {name} wurde nicht gelöscht</translation>
        </message>
        <message>
            <source>Volume {name} was not exported</source>
            <translation>Volume {name} wurde nicht exportiert</translation>
        </message>
        <message>
            <source>Volume {name} was not imported</source>
            <translation>Volume {name} wurde nicht importiert</translation>
        </message>
        <message>
            <source>Volume {name} was not renamed</source>
            <translation>Volume {name} wurde nicht umbenannt</translation>
        </message>
        <message>
            <source>Volume {name}, mounted in {names}</source>
            <translation>Volume {name}, eingehängt in {names}</translation>
        </message>
        <message>
            <source>Volumes</source>
            <translation>Volumes</translation>
        </message>
        <message>
            <source>Volumes and folders</source>
            <translation>Volumes und Ordner</translation>
        </message>
        <message numerus="yes">
            <source>Volumes {names} stay, unless the box is ticked.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>Das Volume {names} bleibt, außer das Kästchen ist angekreuzt.</numerusform>
                <numerusform>Die Volumes {names} bleiben, außer das Kästchen ist angekreuzt.</numerusform>
            </translation>
        </message>
        <message>
            <source>Waiting</source>
            <translation>Wartet</translation>
        </message>
        <message>
            <source>Waiting for its health check</source>
            <translation>Wartet auf seinen Health-Check</translation>
        </message>
        <message>
            <source>Waits for {what}</source>
            <translation>Wartet auf {what}</translation>
        </message>
        <message>
            <source>Warnings</source>
            <translation>Warnungen</translation>
        </message>
        <message>
            <source>Way out</source>
            <translation>Weg nach außen</translation>
        </message>
        <message>
            <source>Welcome</source>
            <translation>Willkommen</translation>
        </message>
        <message>
            <source>Welcome to Cove, in three steps</source>
            <translation>Willkommen bei Cove, in drei Schritten</translation>
        </message>
        <message>
            <source>What can be brought back</source>
            <translation>Was zurückgeholt werden kann</translation>
        </message>
        <message>
            <source>What containers with the host's network listen on appears on this computer.</source>
            <translation>Ports von Containern mit dem Netz des Hosts erscheinen auf diesem Rechner.</translation>
        </message>
        <message>
            <source>What docker, Compose and Cove build from Dockerfiles is listed here, step by step.</source>
            <translation>Hier steht Schritt für Schritt, was docker, Compose und Cove aus Dockerfiles bauen.</translation>
        </message>
        <message>
            <source>What helps</source>
            <translation>Was hilft</translation>
        </message>
        <message>
            <source>What is listed above goes: containers and networks of {names}.</source>
            <translation>Was oben steht, wird gelöscht: Container und Netze von {names}.</translation>
        </message>
        <message>
            <source>What is listed above goes: the project's containers and networks.</source>
            <translation>Was oben steht, wird gelöscht: die Container und Netze des Projekts.</translation>
        </message>
        <message>
            <source>What it has stays the same; what names it elsewhere does not.</source>
            <translation>Was es hat, bleibt gleich; was es anderswo nennt, findet es nicht mehr.</translation>
        </message>
        <message>
            <source>What it is</source>
            <translation>Was es ist</translation>
        </message>
        <message>
            <source>What it may do</source>
            <translation>Was er darf</translation>
        </message>
        <message>
            <source>What it printed</source>
            <translation>Was er ausgab</translation>
        </message>
        <message>
            <source>What it was</source>
            <translation>Was es war</translation>
        </message>
        <message>
            <source>What kind</source>
            <translation>Welche Art</translation>
        </message>
        <message>
            <source>What the engine does is listed here.</source>
            <translation>Hier steht, was die Engine tut.</translation>
        </message>
        <message>
            <source>What was built</source>
            <translation>Was gebaut wurde</translation>
        </message>
        <message>
            <source>What was found</source>
            <translation>Was gefunden wurde</translation>
        </message>
        <message>
            <source>What will be different</source>
            <translation>Was anders wird</translation>
        </message>
        <message>
            <source>What you have just done may not have happened. Containers and the engine are not affected.</source>
            <translation>Was Sie eben getan haben, ist vielleicht nicht geschehen. Container und Engine sind nicht betroffen.</translation>
        </message>
        <message>
            <source>When it fails</source>
            <translation>Wenn er fehlschlägt</translation>
        </message>
        <message>
            <source>Where a port without an address appears: on this computer alone (loopback), or for the whole network (all).</source>
            <translation>Wo ein Port ohne Adresse erscheint: nur auf diesem Rechner (loopback) oder für das ganze Netz (all).</translation>
        </message>
        <message>
            <source>Where containers run</source>
            <translation>Wo Container laufen</translation>
        </message>
        <message>
            <source>Where it failed</source>
            <translation>Wo es scheiterte</translation>
        </message>
        <message>
            <source>Where the engine runs</source>
            <translation>Wo die Engine läuft</translation>
        </message>
        <message>
            <source>Which builds</source>
            <translation>Welche Builds</translation>
        </message>
        <message>
            <source>Which containers</source>
            <translation>Welche Container</translation>
        </message>
        <message>
            <source>Which events</source>
            <translation>Welche Ereignisse</translation>
        </message>
        <message>
            <source>Which images</source>
            <translation>Welche Images</translation>
        </message>
        <message>
            <source>Which networks</source>
            <translation>Welche Netze</translation>
        </message>
        <message>
            <source>Which output</source>
            <translation>Welche Ausgabe</translation>
        </message>
        <message>
            <source>Which projects</source>
            <translation>Welche Projekte</translation>
        </message>
        <message>
            <source>Which volumes</source>
            <translation>Welche Volumes</translation>
        </message>
        <message>
            <source>Why?</source>
            <translation>Warum?</translation>
        </message>
        <message>
            <source>With nothing running, the VM is saved after so many minutes and uses no memory. It wakes at the first command. 0: never.</source>
            <translation>Läuft nichts, wird die VM nach so vielen Minuten gesichert und braucht keinen Speicher. Der erste Befehl weckt sie. 0: nie.</translation>
        </message>
        <message>
            <source>With one of the three fields filled in, this computer's own proxies do not count.</source>
            <translation>Ist eines der drei Felder ausgefüllt, gelten die Proxys dieses Rechners nicht.</translation>
        </message>
        <message>
            <source>Without a proxy</source>
            <translation>Ohne Proxy</translation>
        </message>
        <message>
            <source>Without a way out: its containers reach only each other</source>
            <translation>Ohne Weg nach außen: Seine Container erreichen nur einander</translation>
        </message>
        <message>
            <source>Without one named, the best that works here.</source>
            <translation>Ohne Angabe der beste, der hier geht.</translation>
        </message>
        <message>
            <source>Working</source>
            <translation>In Arbeit</translation>
        </message>
        <message>
            <source>Working folder</source>
            <translation>Arbeitsordner</translation>
        </message>
        <message>
            <source>Wrap</source>
            <translation>Umbrechen</translation>
        </message>
        <message>
            <source>X-ray</source>
            <translation>X-ray</translation>
        </message>
        <message>
            <source>Your first container started in {time}</source>
            <translation>Der erste Container startete in {time}</translation>
        </message>
        <message>
            <source>Your first container starts</source>
            <translation>Der erste Container startet</translation>
        </message>
        <message>
            <source>a folder with a comma in its name cannot be shared</source>
            <translation>ein Ordner mit einem Komma im Namen kann nicht geteilt werden</translation>
        </message>
        <message>
            <source>a free port</source>
            <translation>ein freier Port</translation>
        </message>
        <message>
            <source>all in order</source>
            <translation>alles in Ordnung</translation>
        </message>
        <message>
            <source>also in {names}</source>
            <translation>auch in {names}</translation>
        </message>
        <message>
            <source>an empty folder</source>
            <translation>ein leerer Ordner</translation>
        </message>
        <message>
            <source>an image, such as debian:trixie</source>
            <translation>ein Image, etwa debian:trixie</translation>
        </message>
        <message>
            <source>anonymous</source>
            <translation>anonym</translation>
        </message>
        <message>
            <source>any free</source>
            <translation>ein freier</translation>
        </message>
        <message>
            <source>as last time</source>
            <translation>wie letztes Mal</translation>
        </message>
        <message>
            <source>as {name}</source>
            <translation>als {name}</translation>
        </message>
        <message>
            <source>at its registry, not here</source>
            <translation>bei seiner Registry, nicht hier</translation>
        </message>
        <message>
            <source>best</source>
            <translation>empfohlen</translation>
        </message>
        <message>
            <source>built in</source>
            <translation>mitgeliefert</translation>
        </message>
        <message>
            <source>built {age} ago</source>
            <translation>vor {age} gebaut</translation>
        </message>
        <message>
            <source>by a token</source>
            <translation>mit einem Token</translation>
        </message>
        <message>
            <source>cached</source>
            <translation>im Cache</translation>
        </message>
        <message>
            <source>cancelled</source>
            <translation>abgebrochen</translation>
        </message>
        <message>
            <source>cancelled; nothing half-made is left</source>
            <translation>abgebrochen; nichts Halbfertiges bleibt übrig</translation>
        </message>
        <message>
            <source>changed</source>
            <translation>geändert</translation>
        </message>
        <message>
            <source>completed</source>
            <translation>beendet</translation>
        </message>
        <message>
            <source>container in its network, ↑ sent, ↓ received</source>
            <translation>im Netz, ↑ gesendet, ↓ empfangen</translation>
        </message>
        <message>
            <source>container of {image}</source>
            <translation>Container von {image}</translation>
        </message>
        <message>
            <source>could not ask</source>
            <translation>konnte nicht fragen</translation>
        </message>
        <message>
            <source>could not be mounted</source>
            <translation>konnte nicht eingehängt werden</translation>
        </message>
        <message>
            <source>could not get it</source>
            <translation>konnte es nicht bekommen</translation>
        </message>
        <message>
            <source>could not start</source>
            <translation>konnte nicht starten</translation>
        </message>
        <message>
            <source>cove-relay</source>
            <translation>cove-relay</translation>
        </message>
        <message>
            <source>data that stays</source>
            <translation>Daten, die bleiben</translation>
        </message>
        <message>
            <source>docker, Compose and editors</source>
            <translation>docker, Compose und Editoren</translation>
        </message>
        <message>
            <source>done</source>
            <translation>erledigt</translation>
        </message>
        <message>
            <source>ended at {time}, then started again</source>
            <translation>endete um {time}, startete dann neu</translation>
        </message>
        <message>
            <source>ended, not collected</source>
            <translation>beendet, nicht abgeholt</translation>
        </message>
        <message>
            <source>exit status {code}</source>
            <translation>Exit-Status {code}</translation>
        </message>
        <message>
            <source>failed</source>
            <translation>fehlgeschlagen</translation>
        </message>
        <message>
            <source>failed after {time}</source>
            <translation>nach {time} fehlgeschlagen</translation>
        </message>
        <message>
            <source>files</source>
            <translation>Dateien</translation>
        </message>
        <message>
            <source>filled in from your last run</source>
            <translation>aus Ihrem letzten Lauf übernommen</translation>
        </message>
        <message>
            <source>for the virtual machine</source>
            <translation>für die virtuelle Maschine</translation>
        </message>
        <message>
            <source>found on this computer</source>
            <translation>auf diesem Rechner gefunden</translation>
        </message>
        <message>
            <source>from its beginning, {time}</source>
            <translation>von Anfang an, {time}</translation>
        </message>
        <message>
            <source>from {time}; scroll up for older ones</source>
            <translation>ab {time}; ältere weiter oben</translation>
        </message>
        <message>
            <source>generated, if empty</source>
            <translation>wird erzeugt, wenn leer</translation>
        </message>
        <message>
            <source>healthy</source>
            <translation>gesund</translation>
        </message>
        <message>
            <source>held by running containers</source>
            <translation>belegt von laufenden Containern</translation>
        </message>
        <message>
            <source>held by the engine</source>
            <translation>belegt von der Engine</translation>
        </message>
        <message>
            <source>here</source>
            <translation>hier</translation>
        </message>
        <message>
            <source>here, {size}</source>
            <translation>hier, {size}</translation>
        </message>
        <message>
            <source>idle</source>
            <translation>untätig</translation>
        </message>
        <message>
            <source>idle, or used by others</source>
            <translation>frei oder von anderen genutzt</translation>
        </message>
        <message>
            <source>image {id}</source>
            <translation>Image {id}</translation>
        </message>
        <message>
            <source>imported files</source>
            <translation>importierte Dateien</translation>
        </message>
        <message>
            <source>in</source>
            <translation>herein</translation>
        </message>
        <message>
            <source>in memory</source>
            <translation>im Speicher</translation>
        </message>
        <message>
            <source>in the last second</source>
            <translation>in der letzten Sekunde</translation>
        </message>
        <message>
            <source>in use</source>
            <translation>in Gebrauch</translation>
        </message>
        <message>
            <source>in {helper}</source>
            <translation>in {helper}</translation>
        </message>
        <message>
            <source>in {n} of {all} periods, {seconds} s</source>
            <translation>in {n} von {all} Perioden, {seconds} s</translation>
        </message>
        <message>
            <source>isolated, with limits</source>
            <translation>isoliert, mit Grenzen</translation>
        </message>
        <message>
            <source>it is deleted</source>
            <translation>wird er gelöscht</translation>
        </message>
        <message>
            <source>its files, as an overlay</source>
            <translation>seine Dateien, als Overlay</translation>
        </message>
        <message>
            <source>its layers, from the registry</source>
            <translation>seine Schichten, von der Registry</translation>
        </message>
        <message>
            <source>its own</source>
            <translation>sein eigener</translation>
        </message>
        <message>
            <source>its record</source>
            <translation>sein Datensatz</translation>
        </message>
        <message>
            <source>just now</source>
            <translation>gerade eben</translation>
        </message>
        <message>
            <source>last seen at {time}</source>
            <translation>zuletzt gesehen um {time}</translation>
        </message>
        <message>
            <source>limit {value}</source>
            <translation>Grenze {value}</translation>
        </message>
        <message>
            <source>looking…</source>
            <translation>sucht…</translation>
        </message>
        <message>
            <source>measured on this computer, {time}</source>
            <translation>auf diesem Rechner gemessen, {time}</translation>
        </message>
        <message>
            <source>measuring</source>
            <translation>wird gemessen</translation>
        </message>
        <message>
            <source>modified {ago}</source>
            <translation>geändert {ago}</translation>
        </message>
        <message>
            <source>mounted in {names}</source>
            <translation>eingehängt in {names}</translation>
        </message>
        <message>
            <source>mounted volume</source>
            <translation>eingehängtes Volume</translation>
        </message>
        <message>
            <source>network of {names}</source>
            <translation>Netz von {names}</translation>
        </message>
        <message>
            <source>new</source>
            <translation>neu</translation>
        </message>
        <message>
            <source>no</source>
            <translation>nein</translation>
        </message>
        <message>
            <source>no address now</source>
            <translation>jetzt keine Adresse</translation>
        </message>
        <message>
            <source>no answer since {time}</source>
            <translation>keine Antwort seit {time}</translation>
        </message>
        <message>
            <source>no files, only settings</source>
            <translation>keine Dateien, nur Einstellungen</translation>
        </message>
        <message>
            <source>no limit</source>
            <translation>keine Grenze</translation>
        </message>
        <message>
            <source>no logins</source>
            <translation>keine Anmeldungen</translation>
        </message>
        <message>
            <source>no port is published</source>
            <translation>kein Port ist veröffentlicht</translation>
        </message>
        <message>
            <source>no way out</source>
            <translation>kein Weg nach außen</translation>
        </message>
        <message>
            <source>nobody</source>
            <translation>niemand</translation>
        </message>
        <message>
            <source>none</source>
            <translation>keine</translation>
        </message>
        <message>
            <source>not held by containers</source>
            <translation>nicht von Containern belegt</translation>
        </message>
        <message>
            <source>not in use</source>
            <translation>nicht in Gebrauch</translation>
        </message>
        <message>
            <source>not known</source>
            <translation>nicht bekannt</translation>
        </message>
        <message>
            <source>not measured</source>
            <translation>nicht gemessen</translation>
        </message>
        <message>
            <source>not on this computer</source>
            <translation>nicht auf diesem Rechner</translation>
        </message>
        <message>
            <source>not running</source>
            <translation>läuft nicht</translation>
        </message>
        <message>
            <source>nothing keeps its root from changing the machine</source>
            <translation>nichts hindert sein root daran, den Rechner zu verändern</translation>
        </message>
        <message>
            <source>nothing listens there</source>
            <translation>dort hört niemand zu</translation>
        </message>
        <message>
            <source>nothing measured</source>
            <translation>nichts gemessen</translation>
        </message>
        <message>
            <source>of a container of cove/hello, the median of {n} starts</source>
            <translation>eines Containers von cove/hello, Median aus {n} Starts</translation>
        </message>
        <message>
            <source>of one CPU</source>
            <translation>einer CPU</translation>
        </message>
        <message>
            <source>of project {project}</source>
            <translation>von Projekt {project}</translation>
        </message>
        <message>
            <source>of {limit}</source>
            <translation>von {limit}</translation>
        </message>
        <message>
            <source>of {limit}, without file cache</source>
            <translation>von {limit}, ohne Datei-Cache</translation>
        </message>
        <message>
            <source>on this computer</source>
            <translation>auf diesem Rechner</translation>
        </message>
        <message>
            <source>on this computer?</source>
            <translation>auf diesem Rechner?</translation>
        </message>
        <message>
            <source>on {ports}</source>
            <translation>auf {ports}</translation>
        </message>
        <message>
            <source>options</source>
            <translation>Optionen</translation>
        </message>
        <message>
            <source>or in a terminal</source>
            <translation>oder in einem Terminal</translation>
        </message>
        <message>
            <source>others</source>
            <translation>andere</translation>
        </message>
        <message>
            <source>out</source>
            <translation>hinaus</translation>
        </message>
        <message>
            <source>out, in (dashed)</source>
            <translation>hinaus, herein (gestrichelt)</translation>
        </message>
        <message>
            <source>peak {value}</source>
            <translation>Spitze {value}</translation>
        </message>
        <message>
            <source>port</source>
            <translation>Port</translation>
        </message>
        <message>
            <source>ports you can open</source>
            <translation>Ports zum Öffnen</translation>
        </message>
        <message>
            <source>preparation</source>
            <translation>Vorbereitung</translation>
        </message>
        <message>
            <source>published port</source>
            <translation>veröffentlichter Port</translation>
        </message>
        <message>
            <source>read</source>
            <translation>gelesen</translation>
        </message>
        <message>
            <source>read and write</source>
            <translation>lesen und schreiben</translation>
        </message>
        <message>
            <source>read only</source>
            <translation>nur lesen</translation>
        </message>
        <message>
            <source>result</source>
            <translation>Ergebnis</translation>
        </message>
        <message>
            <source>running</source>
            <translation>läuft</translation>
        </message>
        <message>
            <source>runs</source>
            <translation>läuft</translation>
        </message>
        <message>
            <source>sends {sent}, receives {received}</source>
            <translation>sendet {sent}, empfängt {received}</translation>
        </message>
        <message>
            <source>shared with {names}</source>
            <translation>geteilt mit {names}</translation>
        </message>
        <message>
            <source>skipped</source>
            <translation>übersprungen</translation>
        </message>
        <message>
            <source>source, place in the container</source>
            <translation>Quelle, Ort im Container</translation>
        </message>
        <message>
            <source>stage {name}</source>
            <translation>Stufe {name}</translation>
        </message>
        <message>
            <source>started</source>
            <translation>gestartet</translation>
        </message>
        <message>
            <source>started in {time}</source>
            <translation>in {time} gestartet</translation>
        </message>
        <message>
            <source>steps</source>
            <translation>Schritte</translation>
        </message>
        <message>
            <source>stopped</source>
            <translation>angehalten</translation>
        </message>
        <message>
            <source>target {name}</source>
            <translation>Ziel {name}</translation>
        </message>
        <message>
            <source>that of {name}</source>
            <translation>der von {name}</translation>
        </message>
        <message>
            <source>the container</source>
            <translation>der Container</translation>
        </message>
        <message>
            <source>the first {n} of {total} entries</source>
            <translation>die ersten {n} von {total} Einträgen</translation>
        </message>
        <message>
            <source>the image has no history</source>
            <translation>das Image hat keine Geschichte</translation>
        </message>
        <message>
            <source>the image's</source>
            <translation>die des Images</translation>
        </message>
        <message>
            <source>the image's default</source>
            <translation>der des Images</translation>
        </message>
        <message>
            <source>the image's default, if empty</source>
            <translation>der des Images, wenn leer</translation>
        </message>
        <message>
            <source>the machine's</source>
            <translation>der des Rechners</translation>
        </message>
        <message>
            <source>the machine's memory</source>
            <translation>der Speicher des Rechners</translation>
        </message>
        <message>
            <source>the network of this computer</source>
            <translation>das Netz dieses Rechners</translation>
        </message>
        <message>
            <source>thicker: more traffic</source>
            <translation>dicker: mehr Verkehr</translation>
        </message>
        <message>
            <source>this computer</source>
            <translation>dieser Rechner</translation>
        </message>
        <message>
            <source>this computer, container</source>
            <translation>dieser Rechner, Container</translation>
        </message>
        <message>
            <source>traffic not measured</source>
            <translation>Verkehr nicht gemessen</translation>
        </message>
        <message>
            <source>unencrypted in {file}</source>
            <translation>unverschlüsselt in {file}</translation>
        </message>
        <message>
            <source>up to date</source>
            <translation>aktuell</translation>
        </message>
        <message>
            <source>used by {names}</source>
            <translation>benutzt von {names}</translation>
        </message>
        <message>
            <source>usually {time}</source>
            <translation>meist {time}</translation>
        </message>
        <message>
            <source>value</source>
            <translation>Wert</translation>
        </message>
        <message>
            <source>version {v}</source>
            <translation>Version {v}</translation>
        </message>
        <message>
            <source>volume</source>
            <translation>Volume</translation>
        </message>
        <message>
            <source>volume of {names}</source>
            <translation>Volume von {names}</translation>
        </message>
        <message>
            <source>waiting</source>
            <translation>wartet</translation>
        </message>
        <message>
            <source>waits</source>
            <translation>wartet</translation>
        </message>
        <message>
            <source>waits for a disk</source>
            <translation>wartet auf eine Platte</translation>
        </message>
        <message>
            <source>waits for no other</source>
            <translation>wartet auf keinen anderen</translation>
        </message>
        <message>
            <source>waits for {names}</source>
            <translation>wartet auf {names}</translation>
        </message>
        <message>
            <source>was refused</source>
            <translation>wurde abgelehnt</translation>
        </message>
        <message>
            <source>was {n} of {total} running</source>
            <translation>{n} von {total} liefen</translation>
        </message>
        <message>
            <source>when it ends, or the engine starts</source>
            <translation>wenn er endet oder die Engine startet</translation>
        </message>
        <message>
            <source>with volume {name}</source>
            <translation>mit Volume {name}</translation>
        </message>
        <message>
            <source>without a name, {id}</source>
            <translation>ohne Namen, {id}</translation>
        </message>
        <message>
            <source>without any network</source>
            <translation>ohne Netz</translation>
        </message>
        <message>
            <source>without file cache</source>
            <translation>ohne Datei-Cache</translation>
        </message>
        <message>
            <source>written</source>
            <translation>geschrieben</translation>
        </message>
        <message>
            <source>written, read (dashed)</source>
            <translation>geschrieben, gelesen (gestrichelt)</translation>
        </message>
        <message>
            <source>wrote its record</source>
            <translation>Datensatz geschrieben</translation>
        </message>
        <message>
            <source>yes</source>
            <translation>ja</translation>
        </message>
        <message>
            <source>{address} in {network}</source>
            <translation>{address} in {network}</translation>
        </message>
        <message>
            <source>{at} of {of}</source>
            <translation>{at} von {of}</translation>
        </message>
        <message>
            <source>{bytes} bytes in its cgroup, without the file cache that the kernel can drop</source>
            <translation>{bytes} Bytes in der cgroup, ohne den Datei-Cache, den der Kernel verwerfen kann</translation>
        </message>
        <message>
            <source>{cached} of {n} cached</source>
            <translation>{cached} von {n} im Cache</translation>
        </message>
        <message>
            <source>{checks}, {need}, took {time}</source>
            <translation>{checks}, {need}, in {time}</translation>
        </message>
        <message>
            <source>{c} joined network {n}</source>
            <translation>{c} ist jetzt im Netz {n}</translation>
        </message>
        <message>
            <source>{c} left network {n}</source>
            <translation>{c} hat das Netz {n} verlassen</translation>
        </message>
        <message>
            <source>{doing}, {time}</source>
            <translation>{doing}, {time}</translation>
        </message>
        <message>
            <source>{done} of {total} {unit}</source>
            <translation>{done} von {total} {unit}</translation>
        </message>
        <message>
            <source>{facts}; the first {size}</source>
            <translation>{facts}; die ersten {size}</translation>
        </message>
        <message>
            <source>{file}, line {n}</source>
            <translation>{file}, Zeile {n}</translation>
        </message>
        <message>
            <source>{folder} is shared already</source>
            <translation>{folder} ist schon geteilt</translation>
        </message>
        <message>
            <source>{here} to {port}/{protocol}</source>
            <translation>{here} zu {port}/{protocol}</translation>
        </message>
        <message>
            <source>{holder} uses it, and two programs cannot listen on one port.</source>
            <translation>{holder} benutzt ihn, und zwei Programme können nicht denselben Port haben.</translation>
        </message>
        <message>
            <source>{images}, {size} on disk</source>
            <translation>{images}, {size} auf der Platte</translation>
        </message>
        <message>
            <source>{image} could not be pulled</source>
            <translation>{image} konnte nicht geholt werden</translation>
        </message>
        <message>
            <source>{image} did not run</source>
            <translation>{image} lief nicht</translation>
        </message>
        <message>
            <source>{image} runs</source>
            <translation>{image} läuft</translation>
        </message>
        <message>
            <source>{image} was not pulled</source>
            <translation>{image} wurde nicht geholt</translation>
        </message>
        <message>
            <source>{image} was not pushed</source>
            <translation>{image} wurde nicht hochgeladen</translation>
        </message>
        <message>
            <source>{image} was pulled</source>
            <translation>{image} wurde geholt</translation>
        </message>
        <message>
            <source>{image} was pushed</source>
            <translation>{image} wurde hochgeladen</translation>
        </message>
        <message>
            <source>{image}, {state} on {ports}</source>
            <translation>{image}, {state} auf {ports}</translation>
        </message>
        <message>
            <source>{layers}, {n} already here</source>
            <translation>{layers}, {n} schon hier</translation>
        </message>
        <message>
            <source>{layers}, {n} already there</source>
            <translation>{layers}, {n} schon dort</translation>
        </message>
        <message>
            <source>{limit} at most</source>
            <translation>höchstens {limit}</translation>
        </message>
        <message>
            <source>{mount} is mounted</source>
            <translation>{mount} wird eingehängt</translation>
        </message>
        <message>
            <source>{mount} is no longer mounted; what is in it stays</source>
            <translation>{mount} wird nicht mehr eingehängt; was darin ist, bleibt</translation>
        </message>
        <message>
            <source>{mount}, read only</source>
            <translation>{mount}, nur lesen</translation>
        </message>
        <message numerus="yes">
            <source>{names} run from it. An image cannot be deleted while a container runs from it.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{names} läuft damit. Ein Image kann nicht gelöscht werden, solange ein Container damit läuft.</numerusform>
                <numerusform>{names} laufen damit. Ein Image kann nicht gelöscht werden, solange ein Container damit läuft.</numerusform>
            </translation>
        </message>
        <message>
            <source>{names} runs from it. An image cannot be deleted while a container runs from it.</source>
            <translation>{names} läuft damit. Ein Image kann nicht gelöscht werden, solange ein Container damit läuft.</translation>
        </message>
        <message numerus="yes">
            <source>{names} stay: they are in use.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{names} bleibt: Es ist in Gebrauch.</numerusform>
                <numerusform>{names} bleiben: Sie sind in Gebrauch.</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{names} stay: they have containers, or are the engine's own.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{names} bleibt: Es hat Container oder gehört der Engine.</numerusform>
                <numerusform>{names} bleiben: Sie haben Container oder gehören der Engine.</numerusform>
            </translation>
        </message>
        <message>
            <source>{names} stays: it has containers, or is the engine's own.</source>
            <translation>{names} bleibt: Es hat Container oder gehört der Engine.</translation>
        </message>
        <message>
            <source>{names} stays: it is in use.</source>
            <translation>{names} bleibt: Es ist in Gebrauch.</translation>
        </message>
        <message>
            <source>{names}.</source>
            <translation>{names}.</translation>
        </message>
        <message>
            <source>{names}: back again</source>
            <translation>{names}: wieder da</translation>
        </message>
        <message>
            <source>{names}: not saved</source>
            <translation>{names}: nicht gespeichert</translation>
        </message>
        <message>
            <source>{names}: not uploaded</source>
            <translation>{names}: nicht hochgeladen</translation>
        </message>
        <message>
            <source>{names}: saved</source>
            <translation>{names}: gespeichert</translation>
        </message>
        <message>
            <source>{names}: uploaded into {path}</source>
            <translation>{names}: nach {path} hochgeladen</translation>
        </message>
        <message>
            <source>{name}   {n} of {total} running</source>
            <translation>{name}   {n} von {total} laufen</translation>
        </message>
        <message>
            <source>{name} answers, and lets anybody in.</source>
            <translation>{name} antwortet und lässt jeden ein.</translation>
        </message>
        <message>
            <source>{name} answers, and lets your login in.</source>
            <translation>{name} antwortet und nimmt Ihre Anmeldung an.</translation>
        </message>
        <message>
            <source>{name} cannot be edited</source>
            <translation>{name} kann nicht bearbeitet werden</translation>
        </message>
        <message>
            <source>{name} cannot be executed</source>
            <translation>{name} lässt sich nicht ausführen</translation>
        </message>
        <message>
            <source>{name} could not be killed</source>
            <translation>{name} konnte nicht beendet werden</translation>
        </message>
        <message>
            <source>{name} could not be paused</source>
            <translation>{name} konnte nicht pausiert werden</translation>
        </message>
        <message>
            <source>{name} could not be restarted</source>
            <translation>{name} konnte nicht neu gestartet werden</translation>
        </message>
        <message>
            <source>{name} could not be resumed</source>
            <translation>{name} konnte nicht fortgesetzt werden</translation>
        </message>
        <message>
            <source>{name} could not be stopped</source>
            <translation>{name} konnte nicht angehalten werden</translation>
        </message>
        <message>
            <source>{name} could not start</source>
            <translation>{name} konnte nicht starten</translation>
        </message>
        <message>
            <source>{name} could not start with {limit}</source>
            <translation>{name} konnte mit {limit} nicht starten</translation>
        </message>
        <message>
            <source>{name} did not join {network}</source>
            <translation>{name} kam nicht ins Netz {network}</translation>
        </message>
        <message>
            <source>{name} did not leave {network}</source>
            <translation>{name} hat {network} nicht verlassen</translation>
        </message>
        <message>
            <source>{name} ended</source>
            <translation>{name} endete</translation>
        </message>
        <message>
            <source>{name} ended with status {code}</source>
            <translation>{name} endete mit Status {code}</translation>
        </message>
        <message>
            <source>{name} ends again and again</source>
            <translation>{name} endet immer wieder</translation>
        </message>
        <message>
            <source>{name} gets another value</source>
            <translation>{name} bekommt einen anderen Wert</translation>
        </message>
        <message>
            <source>{name} is asked…</source>
            <translation>{name} wird gefragt…</translation>
        </message>
        <message>
            <source>{name} is built</source>
            <translation>{name} ist gebaut</translation>
        </message>
        <message>
            <source>{name} is not running</source>
            <translation>{name} läuft nicht</translation>
        </message>
        <message>
            <source>{name} is removed</source>
            <translation>{name} wird entfernt</translation>
        </message>
        <message>
            <source>{name} is set</source>
            <translation>{name} wird gesetzt</translation>
        </message>
        <message>
            <source>{name} is {health}</source>
            <translation>{name} ist {health}</translation>
        </message>
        <message>
            <source>{name} left {network}</source>
            <translation>{name} hat {network} verlassen</translation>
        </message>
        <message>
            <source>{name} ran out of memory</source>
            <translation>{name} ging der Speicher aus</translation>
        </message>
        <message>
            <source>{name} started</source>
            <translation>{name} wurde gestartet</translation>
        </message>
        <message>
            <source>{name} was changed</source>
            <translation>{name} wurde geändert</translation>
        </message>
        <message>
            <source>{name} was created</source>
            <translation>{name} wurde angelegt</translation>
        </message>
        <message>
            <source>{name} was deleted</source>
            <translation>{name} wurde gelöscht</translation>
        </message>
        <message>
            <source>{name} was downloaded</source>
            <translation>{name} wurde heruntergeladen</translation>
        </message>
        <message>
            <source>{name} was ended by signal {n}</source>
            <translation>{name} wurde durch Signal {n} beendet</translation>
        </message>
        <message>
            <source>{name} was exported</source>
            <translation>{name} wurde exportiert</translation>
        </message>
        <message>
            <source>{name} was imported</source>
            <translation>{name} wurde importiert</translation>
        </message>
        <message>
            <source>{name} was loaded</source>
            <translation>{name} wurde geladen</translation>
        </message>
        <message>
            <source>{name} was mounted</source>
            <translation>{name} wurde eingehängt</translation>
        </message>
        <message>
            <source>{name} was not added</source>
            <translation>{name} wurde nicht hinzugefügt</translation>
        </message>
        <message>
            <source>{name} was not brought back</source>
            <translation>{name} wurde nicht zurückgeholt</translation>
        </message>
        <message>
            <source>{name} was not built</source>
            <translation>{name} wurde nicht gebaut</translation>
        </message>
        <message>
            <source>{name} was not changed</source>
            <translation>{name} wurde nicht geändert</translation>
        </message>
        <message>
            <source>{name} was not deleted</source>
            <translation>{name} wurde nicht gelöscht</translation>
        </message>
        <message>
            <source>{name} was not downloaded</source>
            <translation>{name} wurde nicht heruntergeladen</translation>
        </message>
        <message>
            <source>{name} was not exported</source>
            <translation>{name} wurde nicht exportiert</translation>
        </message>
        <message>
            <source>{name} was not loaded</source>
            <translation>{name} wurde nicht geladen</translation>
        </message>
        <message>
            <source>{name} was not renamed</source>
            <translation>{name} wurde nicht umbenannt</translation>
        </message>
        <message>
            <source>{name} was paused</source>
            <translation>{name} pausiert</translation>
        </message>
        <message>
            <source>{name} was pulled</source>
            <translation>{name} wurde geholt</translation>
        </message>
        <message>
            <source>{name} was restarted</source>
            <translation>{name} wurde neu gestartet</translation>
        </message>
        <message>
            <source>{name} was resumed</source>
            <translation>{name} läuft weiter</translation>
        </message>
        <message>
            <source>{name} was sent signal {n}</source>
            <translation>{name} erhielt Signal {n}</translation>
        </message>
        <message>
            <source>{name} was stopped</source>
            <translation>{name} wurde angehalten</translation>
        </message>
        <message>
            <source>{name} was tagged</source>
            <translation>{name} bekam einen Namen</translation>
        </message>
        <message>
            <source>{name} was unmounted</source>
            <translation>{name} wurde ausgehängt</translation>
        </message>
        <message>
            <source>{name} was untagged</source>
            <translation>{name} verlor einen Namen</translation>
        </message>
        <message>
            <source>{name}'s command cannot be executed</source>
            <translation>Der Befehl von {name} lässt sich nicht ausführen</translation>
        </message>
        <message>
            <source>{name}'s command was not found</source>
            <translation>Der Befehl von {name} wurde nicht gefunden</translation>
        </message>
        <message>
            <source>{name}'s health check fails</source>
            <translation>Der Health-Check von {name} schlägt fehl</translation>
        </message>
        <message>
            <source>{name}'s limits were changed</source>
            <translation>Die Grenzen von {name} wurden geändert</translation>
        </message>
        <message>
            <source>{name}, {state}</source>
            <translation>{name}, {state}</translation>
        </message>
        <message>
            <source>{name}: exec created: {what}</source>
            <translation>{name}: exec angelegt: {what}</translation>
        </message>
        <message>
            <source>{name}: exec started: {what}</source>
            <translation>{name}: exec gestartet: {what}</translation>
        </message>
        <message>
            <source>{name}: the exec ended with status {code}</source>
            <translation>{name}: das exec endete mit Status {code}</translation>
        </message>
        <message>
            <source>{name}: {action}</source>
            <translation>{name}: {action}</translation>
        </message>
        <message>
            <source>{name}: {old} becomes {new}</source>
            <translation>{name}: aus {old} wird {new}</translation>
        </message>
        <message>
            <source>{name}: {why}</source>
            <translation>{name}: {why}</translation>
        </message>
        <message>
            <source>{new} is a copy of volume {name}</source>
            <translation>{new} ist eine Kopie von Volume {name}</translation>
        </message>
        <message>
            <source>{n} % of the last 10 s</source>
            <translation>{n} % der letzten 10 s</translation>
        </message>
        <message>
            <source>{n} CPUs</source>
            <translation>{n} CPUs</translation>
        </message>
        <message>
            <source>{n} MB at most</source>
            <translation>höchstens {n} MB</translation>
        </message>
        <message>
            <source>{n} anonymous volume</source>
            <translation>{n} anonymes Volume</translation>
        </message>
        <message numerus="yes">
            <source>{n} anonymous volumes</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} anonymes Volume</numerusform>
                <numerusform>{n} anonyme Volumes</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} are back again</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} ist wieder da</numerusform>
                <numerusform>{n} sind wieder da</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} build</source>
            <translation>{n} Build</translation>
        </message>
        <message numerus="yes">
            <source>{n} builds</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Build</numerusform>
                <numerusform>{n} Builds</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} bytes: the sum of the images' sizes, shared layers counted once each</source>
            <translation>{n} Bytes: die Summe der Größen aller Images, geteilte Schichten je einmal gezählt</translation>
        </message>
        <message>
            <source>{n} change when it is applied</source>
            <translation>{n} Änderung beim Anwenden</translation>
        </message>
        <message numerus="yes">
            <source>{n} changes when it is applied</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Änderung beim Anwenden</numerusform>
                <numerusform>{n} Änderungen beim Anwenden</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} check</source>
            <translation>{n} Prüfung</translation>
        </message>
        <message numerus="yes">
            <source>{n} checks</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Prüfung</numerusform>
                <numerusform>{n} Prüfungen</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} container</source>
            <translation>{n} Container</translation>
        </message>
        <message>
            <source>{n} container is running in it and is stopped first.</source>
            <translation>{n} Container läuft darin und wird zuerst angehalten.</translation>
        </message>
        <message numerus="yes">
            <source>{n} containers</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Container</numerusform>
                <numerusform>{n} Container</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} containers are running in it and are stopped first.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Container läuft darin und wird zuerst angehalten.</numerusform>
                <numerusform>{n} Container laufen darin und werden zuerst angehalten.</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} day</source>
            <translation>{n} Tag</translation>
        </message>
        <message numerus="yes">
            <source>{n} days</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Tag</numerusform>
                <numerusform>{n} Tage</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} deletion, {size} on disk</source>
            <translation>{n} Löschung, {size} auf der Platte</translation>
        </message>
        <message numerus="yes">
            <source>{n} deletions, {size} on disk</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Löschung, {size} auf der Platte</numerusform>
                <numerusform>{n} Löschungen, {size} auf der Platte</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} entries</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Eintrag</numerusform>
                <numerusform>{n} Einträge</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} entry</source>
            <translation>{n} Eintrag</translation>
        </message>
        <message>
            <source>{n} event, newest first</source>
            <translation>{n} Ereignis, das neueste zuerst</translation>
        </message>
        <message numerus="yes">
            <source>{n} events, newest first</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Ereignis, das neueste zuerst</numerusform>
                <numerusform>{n} Ereignisse, das neueste zuerst</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} failed</source>
            <translation>{n} fehlgeschlagen</translation>
        </message>
        <message numerus="yes">
            <source>{n} failed</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} fehlgeschlagen</numerusform>
                <numerusform>{n} fehlgeschlagen</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} file in {path}, without secrets</source>
            <translation>{n} Datei in {path}, ohne Geheimnisse</translation>
        </message>
        <message>
            <source>{n} file that it has written outside of volumes is lost.</source>
            <translation>{n} Datei, die er außerhalb von Volumes geschrieben hat, geht verloren.</translation>
        </message>
        <message numerus="yes">
            <source>{n} files in {path}, without secrets</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Datei in {path}, ohne Geheimnisse</numerusform>
                <numerusform>{n} Dateien in {path}, ohne Geheimnisse</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} files that it has written outside of volumes are lost.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Datei, die er außerhalb von Volumes geschrieben hat, geht verloren.</numerusform>
                <numerusform>{n} Dateien, die er außerhalb von Volumes geschrieben hat, gehen verloren.</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} h</source>
            <translation>{n} h</translation>
        </message>
        <message>
            <source>{n} image</source>
            <translation>{n} Image</translation>
        </message>
        <message numerus="yes">
            <source>{n} images</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Image</numerusform>
                <numerusform>{n} Images</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} is back again</source>
            <translation>{n} ist wieder da</translation>
        </message>
        <message>
            <source>{n} layer</source>
            <translation>{n} Schicht</translation>
        </message>
        <message>
            <source>{n} layer already here</source>
            <translation>{n} Schicht schon hier</translation>
        </message>
        <message>
            <source>{n} layer already there</source>
            <translation>{n} Schicht schon dort</translation>
        </message>
        <message numerus="yes">
            <source>{n} layers</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Schicht</numerusform>
                <numerusform>{n} Schichten</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} layers already here</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Schicht schon hier</numerusform>
                <numerusform>{n} Schichten schon hier</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} layers already there</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Schicht schon dort</numerusform>
                <numerusform>{n} Schichten schon dort</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} line</source>
            <translation>{n} Zeile</translation>
        </message>
        <message>
            <source>{n} line was skipped to keep up</source>
            <translation>{n} Zeile wurde übersprungen, um mitzukommen</translation>
        </message>
        <message numerus="yes">
            <source>{n} lines</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Zeile</numerusform>
                <numerusform>{n} Zeilen</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} lines were skipped to keep up</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Zeile wurde übersprungen, um mitzukommen</numerusform>
                <numerusform>{n} Zeilen wurden übersprungen, um mitzukommen</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} login</source>
            <translation>{n} Anmeldung</translation>
        </message>
        <message numerus="yes">
            <source>{n} logins</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Anmeldung</numerusform>
                <numerusform>{n} Anmeldungen</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} min</source>
            <translation>{n} min</translation>
        </message>
        <message>
            <source>{n} month</source>
            <translation>{n} Monat</translation>
        </message>
        <message numerus="yes">
            <source>{n} months</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Monat</numerusform>
                <numerusform>{n} Monate</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} more, in the window</source>
            <translation>{n} weitere, im Fenster</translation>
        </message>
        <message numerus="yes">
            <source>{n} more, in the window</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} weitere, im Fenster</numerusform>
                <numerusform>{n} weitere, im Fenster</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} ms</source>
            <translation>{n} ms</translation>
        </message>
        <message numerus="yes">
            <source>{n} need you</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} braucht Sie</numerusform>
                <numerusform>{n} brauchen Sie</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} needs you</source>
            <translation>{n} braucht Sie</translation>
        </message>
        <message>
            <source>{n} network</source>
            <translation>{n} Netz</translation>
        </message>
        <message>
            <source>{n} network has no containers</source>
            <translation>{n} Netz hat keine Container</translation>
        </message>
        <message numerus="yes">
            <source>{n} networks</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Netz</numerusform>
                <numerusform>{n} Netze</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} networks have no containers</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Netz hat keine Container</numerusform>
                <numerusform>{n} Netze haben keine Container</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} of them are running and are stopped first.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} davon läuft und wird zuerst angehalten.</numerusform>
                <numerusform>{n} davon laufen und werden zuerst angehalten.</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} of them are used by containers and stay, unless they have other names.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} davon wird von einem Container benutzt und bleibt, außer es hat noch einen Namen.</numerusform>
                <numerusform>{n} davon werden von Containern benutzt und bleiben, außer sie haben noch andere Namen.</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} of them is running and is stopped first.</source>
            <translation>{n} davon läuft und wird zuerst angehalten.</translation>
        </message>
        <message>
            <source>{n} of them is used by a container and stays, unless it has another name.</source>
            <translation>{n} davon wird von einem Container benutzt und bleibt, außer es hat noch einen Namen.</translation>
        </message>
        <message>
            <source>{n} of {total} running</source>
            <translation>{n} von {total} laufen</translation>
        </message>
        <message>
            <source>{n} older</source>
            <translation>{n} ältere</translation>
        </message>
        <message numerus="yes">
            <source>{n} older</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} ältere</numerusform>
                <numerusform>{n} ältere</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} paused</source>
            <translation>{n} pausiert</translation>
        </message>
        <message numerus="yes">
            <source>{n} paused</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} pausiert</numerusform>
                <numerusform>{n} pausiert</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} problem</source>
            <translation>{n} Problem</translation>
        </message>
        <message numerus="yes">
            <source>{n} problems</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Problem</numerusform>
                <numerusform>{n} Probleme</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} process</source>
            <translation>{n} Prozess</translation>
        </message>
        <message numerus="yes">
            <source>{n} processes</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Prozess</numerusform>
                <numerusform>{n} Prozesse</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} project</source>
            <translation>{n} Projekt</translation>
        </message>
        <message numerus="yes">
            <source>{n} projects</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Projekt</numerusform>
                <numerusform>{n} Projekte</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} run and are stopped first.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} läuft und wird zuerst angehalten.</numerusform>
                <numerusform>{n} laufen und werden zuerst angehalten.</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} running</source>
            <translation>{n} laufen</translation>
        </message>
        <message numerus="yes">
            <source>{n} running</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} laufen</numerusform>
                <numerusform>{n} laufen</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} runs and is stopped first.</source>
            <translation>{n} läuft und wird zuerst angehalten.</translation>
        </message>
        <message>
            <source>{n} s</source>
            <translation>{n} s</translation>
        </message>
        <message>
            <source>{n} secret</source>
            <translation>{n} Geheimnis</translation>
        </message>
        <message numerus="yes">
            <source>{n} secrets</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Geheimnis</numerusform>
                <numerusform>{n} Geheimnisse</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} selected</source>
            <translation>{n} ausgewählt</translation>
        </message>
        <message numerus="yes">
            <source>{n} selected</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} ausgewählt</numerusform>
                <numerusform>{n} ausgewählt</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} step, {cached} cached</source>
            <translation>{n} Schritt, {cached} im Cache</translation>
        </message>
        <message numerus="yes">
            <source>{n} steps, {cached} cached</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Schritt, {cached} im Cache</numerusform>
                <numerusform>{n} Schritte, {cached} im Cache</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} volume</source>
            <translation>{n} Volume</translation>
        </message>
        <message numerus="yes">
            <source>{n} volumes</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Volume</numerusform>
                <numerusform>{n} Volumes</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} was deleted</source>
            <translation>{n} wurde gelöscht</translation>
        </message>
        <message>
            <source>{n} was not brought back</source>
            <translation>{n} wurde nicht zurückgeholt</translation>
        </message>
        <message>
            <source>{n} week</source>
            <translation>{n} Woche</translation>
        </message>
        <message numerus="yes">
            <source>{n} weeks</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Woche</numerusform>
                <numerusform>{n} Wochen</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} were deleted</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} wurde gelöscht</numerusform>
                <numerusform>{n} wurden gelöscht</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{n} were not brought back</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} wurde nicht zurückgeholt</numerusform>
                <numerusform>{n} wurden nicht zurückgeholt</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} year</source>
            <translation>{n} Jahr</translation>
        </message>
        <message numerus="yes">
            <source>{n} years</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{n} Jahr</numerusform>
                <numerusform>{n} Jahre</numerusform>
            </translation>
        </message>
        <message>
            <source>{n} {unit} in this computer</source>
            <translation>{n} {unit} in diesem Rechner</translation>
        </message>
        <message>
            <source>{old} was renamed to {name}</source>
            <translation>{old} heißt jetzt {name}</translation>
        </message>
        <message>
            <source>{one} out, {two} in</source>
            <translation>{one} hinaus, {two} herein</translation>
        </message>
        <message>
            <source>{one} written, {two} read</source>
            <translation>{one} geschrieben, {two} gelesen</translation>
        </message>
        <message>
            <source>{output} (exit status {code})</source>
            <translation>{output} (Exit-Status {code})</translation>
        </message>
        <message>
            <source>{pid} where the engine runs, 1 inside</source>
            <translation>{pid}, wo die Engine läuft, innen 1</translation>
        </message>
        <message>
            <source>{problem} It is as before.</source>
            <translation>{problem} Er ist wie vorher.</translation>
        </message>
        <message>
            <source>{rate}/s, about {time} left</source>
            <translation>{rate}/s, noch etwa {time}</translation>
        </message>
        <message>
            <source>{rule} is missing in the firewall</source>
            <translation>{rule} fehlt in der Firewall</translation>
        </message>
        <message>
            <source>{running}, using {memory}</source>
            <translation>{running}, mit {memory}</translation>
        </message>
        <message>
            <source>{running}, using {n} of {total} CPUs and {memory}</source>
            <translation>{running}, mit {n} von {total} CPUs und {memory}</translation>
        </message>
        <message>
            <source>{service} {at}/{of}</source>
            <translation>{service} {at}/{of}</translation>
        </message>
        <message>
            <source>{size} are free again.</source>
            <translation>{size} sind wieder frei.</translation>
        </message>
        <message>
            <source>{size} in {time}</source>
            <translation>{size} in {time}</translation>
        </message>
        <message>
            <source>{size} of the disk become free. This cannot be undone.</source>
            <translation>{size} auf der Platte werden frei. Das kann nicht rückgängig gemacht werden.</translation>
        </message>
        <message>
            <source>{size} on disk</source>
            <translation>{size} auf der Platte</translation>
        </message>
        <message>
            <source>{size}/s</source>
            <translation>{size}/s</translation>
        </message>
        <message>
            <source>{source} at {target}</source>
            <translation>{source} in {target}</translation>
        </message>
        <message>
            <source>{source}, at {target}</source>
            <translation>{source}, in {target}</translation>
        </message>
        <message>
            <source>{span} ago</source>
            <translation>{span} her</translation>
        </message>
        <message>
            <source>{text} {n} container runs in it and is stopped first.</source>
            <translation>{text} {n} Container läuft darin und wird zuerst angehalten.</translation>
        </message>
        <message numerus="yes">
            <source>{text} {n} containers run in it and are stopped first.</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{text} {n} Container läuft darin und wird zuerst angehalten.</numerusform>
                <numerusform>{text} {n} Container laufen darin und werden zuerst angehalten.</numerusform>
            </translation>
        </message>
        <message>
            <source>{text}, in step {step}</source>
            <translation>{text}, im Schritt {step}</translation>
        </message>
        <message>
            <source>{text}, with {volumes}</source>
            <translation>{text}, mit {volumes}</translation>
        </message>
        <message>
            <source>{text}, {more}</source>
            <translation>{text}, {more}</translation>
        </message>
        <message>
            <source>{text}, {n} container connected</source>
            <translation>{text}, {n} Container verbunden</translation>
        </message>
        <message>
            <source>{text}, {n} container running</source>
            <translation>{text}, {n} Container läuft</translation>
        </message>
        <message numerus="yes">
            <source>{text}, {n} containers connected</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{text}, {n} Container verbunden</numerusform>
                <numerusform>{text}, {n} Container verbunden</numerusform>
            </translation>
        </message>
        <message numerus="yes">
            <source>{text}, {n} containers running</source>
            <comment>counted</comment>
            <translation>
                <numerusform>{text}, {n} Container läuft</numerusform>
                <numerusform>{text}, {n} Container laufen</numerusform>
            </translation>
        </message>
        <message>
            <source>{text}, {size}</source>
            <translation>{text}, {size}</translation>
        </message>
        <message>
            <source>{text}, {size} not in use</source>
            <translation>{text}, {size} nicht in Gebrauch</translation>
        </message>
        <message>
            <source>{text}, {size} not used by any container</source>
            <translation>{text}, {size} von keinem Container benutzt</translation>
        </message>
        <message>
            <source>{there} to {here} in the container</source>
            <translation>{there} zu {here} im Container</translation>
        </message>
        <message>
            <source>{there} to {port}</source>
            <translation>{there} zu {port}</translation>
        </message>
        <message>
            <source>{thing} could not start</source>
            <translation>{thing} konnte nicht starten</translation>
        </message>
        <message>
            <source>{thing} does not answer. Cove is trying to reach it again.</source>
            <translation>{thing} antwortet nicht. Cove versucht, sie wieder zu erreichen.</translation>
        </message>
        <message>
            <source>{thing} is starting.</source>
            <translation>{thing} startet.</translation>
        </message>
        <message>
            <source>{thing} is stopped.</source>
            <translation>{thing} steht.</translation>
        </message>
        <message>
            <source>{thing} is stopping.</source>
            <translation>{thing} hält an.</translation>
        </message>
        <message>
            <source>{thing} saved until it is used</source>
            <translation>{thing} gesichert bis zum nächsten Gebrauch</translation>
        </message>
        <message>
            <source>{thing} starting</source>
            <translation>{thing} startet</translation>
        </message>
        <message>
            <source>{thing} stopped</source>
            <translation>{thing} steht</translation>
        </message>
        <message>
            <source>{thing} stopped unexpectedly</source>
            <translation>{thing} ist unerwartet stehen geblieben</translation>
        </message>
        <message>
            <source>{thing} stopping</source>
            <translation>{thing} hält an</translation>
        </message>
        <message>
            <source>{times} It said: {output}</source>
            <translation>{times} Er meldete: {output}</translation>
        </message>
        <message>
            <source>{time} so far</source>
            <translation>bisher {time}</translation>
        </message>
        <message>
            <source>{title} {before} to {value}</source>
            <translation>{title}: {before} wird {value}</translation>
        </message>
        <message>
            <source>{title}: {old} becomes {new}</source>
            <translation>{title}: aus {old} wird {new}</translation>
        </message>
        <message>
            <source>{used} of {limit}</source>
            <translation>{used} von {limit}</translation>
        </message>
        <message>
            <source>{used}, no limit</source>
            <translation>{used}, keine Grenze</translation>
        </message>
        <message>
            <source>{volume} belongs to {users}.</source>
            <translation>{volume} gehört zu {users}.</translation>
        </message>
        <message>
            <source>{what} could not be read</source>
            <translation>{what} konnte nicht gelesen werden</translation>
        </message>
        <message>
            <source>{what} is made anew: {why}</source>
            <translation>{what} wird neu angelegt: {why}</translation>
        </message>
        <message>
            <source>{what} is made: {why}</source>
            <translation>{what} wird angelegt: {why}</translation>
        </message>
        <message>
            <source>{what} is removed: {why}</source>
            <translation>{what} wird entfernt: {why}</translation>
        </message>
        <message>
            <source>{what} is restarted: {why}</source>
            <translation>{what} wird neu gestartet: {why}</translation>
        </message>
        <message>
            <source>{what} is started: {why}</source>
            <translation>{what} wird gestartet: {why}</translation>
        </message>
        <message>
            <source>{what}, after {time}.</source>
            <translation>{what}, nach {time}.</translation>
        </message>
        <message>
            <source>{what}: after a restart of the VM.</source>
            <translation>{what}: nach einem Neustart der VM.</translation>
        </message>
        <message>
            <source>{where} copied</source>
            <translation>{where} kopiert</translation>
        </message>
        <message>
            <source>{where} on this computer</source>
            <translation>{where} auf diesem Rechner</translation>
        </message>
        <message>
            <source>{where} to {port} in {name}</source>
            <translation>{where} zu {port} in {name}</translation>
        </message>
        <message>
            <source>{why} Cove will try again.</source>
            <translation>{why} Cove versucht es wieder.</translation>
        </message>
        <message>
            <source>“desktop” follows what the desktop says.</source>
            <translation>„desktop“ folgt dem, was der Desktop sagt.</translation>
        </message>
        <message>
            <source>“{image}” is not an image's name</source>
            <translation>„{image}“ ist kein Name eines Images</translation>
        </message>
        <message>
            <source>↓ and Enter pull and run it</source>
            <translation>↓ und Enter holen es und führen es aus</translation>
        </message>
    </context>
</TS>
