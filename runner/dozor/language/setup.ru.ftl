setup-help-init = Записать в ПАПКУ (по умолчанию сюда) настройки с пояснениями, чекер и его тест. Ничего не перезаписывает.
setup-help-yes = Ни о чём не спрашивать.
setup-help-language = Язык файлов и всех текстов. По умолчанию: по LC_ALL, LC_MESSAGES, LANG.
setup-help-timezone = Для времени в сообщениях и для cron. По умолчанию: пояс этой машины.
setup-help-database = embedded: свой PostgreSQL; url: ваш, из DATABASE_URL. По умолчанию embedded, если он установлен.
setup-help-schema = Напечатать JSON Schema файла config.yaml, для редакторов.
setup-help-try = Запустить чекер задачи NAME один раз, без раннера. Оповещения печатаются, но не отправляются. Код 1: ошибка.
setup-help-try-watch = Запускать снова, когда меняется файл Python рядом с настройками или сами настройки.
setup-no-zone = { $name }: нет такого часового пояса; напишите Europe/Moscow или UTC
setup-in-the-way = ничего не записано, мешают файлы: { $names }
setup-cannot-write = не удаётся записать { $path }: { $reason }
setup-written = Записано в { $folder }: { $names }
setup-not-ignored = Ваш .gitignore не изменён. Добавьте в него строки: { $names }
setup-ask-language = Язык сообщений
setup-ask-timezone = Часовой пояс
setup-ask-database = База данных (embedded: свой PostgreSQL, url: ваш, из DATABASE_URL)
setup-comment-embedded = свой PostgreSQL в .dozor/; для работы всерьёз: URL вашего сервера
setup-comment-url = задайте в окружении: postgresql://user:password@host:5432/database
setup-next = Дальше:
setup-next-migrate = создаёт таблицы Дозора
setup-next-embedded = или свой PostgreSQL: { $command }, затем dozor init --database embedded
setup-next-try = запускает чекер один раз
setup-next-run = следит за ним до Ctrl-C
setup-next-break = во втором терминале: первое оповещение придёт за 15 с
setup-try-no-database = ctx.db недоступна: { $reason }
setup-try-continuous = { $name } работает без конца: до первого ctx.heartbeat(), до возврата или ошибки, или до Ctrl-C
setup-try-passed = { $name }: успешно за { $seconds } с
setup-try-healthy = { $name }: работает, первый ctx.heartbeat() через { $seconds } с
setup-try-failed = { $name }: ошибка через { $seconds } с: { $error }
setup-try-progress = сделано: { $done } из { $total }
setup-try-backlog = в очереди: { $count }
setup-try-alert = оповещение, не отправлено ({ $severity }): { $text }
setup-try-no-alert = оповещений нет
setup-try-fatal = В раннере: сразу критическая остановка с оповещением; задача ждёт человека.
setup-try-unlimited = В раннере: следующая попытка через { $delay }; оповещение после { $first ->
    [one] { $first } ошибки
   *[other] { $first } ошибок
} подряд; без критической остановки.
setup-try-only-stop = В раннере: следующая попытка через { $delay }; после { $limit ->
    [one] { $limit } ошибки
   *[other] { $limit } ошибок
} подряд критическая остановка и оповещение.
setup-try-would = В раннере: следующая попытка через { $delay }; оповещение после { $first ->
    [one] { $first } ошибки
   *[other] { $first } ошибок
} подряд, критическая остановка после { $limit }.
setup-try-watching = Жду изменений в { $folder }; Ctrl-C: конец
setup-edit-not-yaml = это не YAML: посмотрите dozor check; ничего не записано
setup-edit-form = файл такого вида автоматически не меняется: впишите строки сами; ничего не записано
setup-edit-alias = в { $section } есть якорь, ссылка или тег: впишите строки сами; ничего не записано
setup-edit-section = { $section } не набор простых значений: впишите строки сами; ничего не записано
setup-help-telegram = Бот.
setup-help-telegram-setup = Взять токен, узнать id чата, темы и ваш собственный, послать пробное оповещение. Токен берётся из настроек, из BOT_TOKEN или с клавиатуры и нигде не печатается.
setup-help-write = Вписать найденное в настройки; комментарии остаются.
setup-help-private = Годится и личное сообщение боту: оповещения пойдут вам одному.
setup-help-api-url = Сервер Bot API, если он свой. По умолчанию: telegram.api_url.
setup-cannot-read = не удаётся прочитать { $path }: { $reason }
setup-telegram-no-file = нет файла { $file }, писать некуда: создайте его командой dozor init
setup-telegram-token = Токен бота, от @BotFather (он не показывается)
setup-telegram-no-token = нет токена: задайте { $variable } или запустите в терминале
setup-telegram-address = telegram.{ $key } не адрес: посмотрите dozor check
setup-telegram-bot = Токен верный: @{ $name }
setup-telegram-write = Добавьте @{ $name } в группу дежурных и напишите там, в теме для оповещений: /start@{ $name }
setup-telegram-write-any = Добавьте @{ $name } в группу дежурных и напишите там что-нибудь, в теме для оповещений.
setup-telegram-added = @{ $name } теперь в группе «{ $title }». Напишите там: /start@{ $name }
setup-telegram-private = { $user } (id { $id }) пишет в личку. Напишите в группе или запустите с --private.
setup-telegram-chat = Чат: { $title } (id { $id })
setup-telegram-topic = Тема: { $id }
setup-telegram-user = Человек: { $user } (id { $id })
setup-telegram-anonymous = Человек неизвестен: анонимный администратор. Отключите анонимность и напишите ещё раз, или впишите свой id в admins сами.
setup-telegram-right = Слать оповещения сюда и сделать этого человека администратором?
setup-telegram-go-on = Жду другого сообщения
setup-telegram-nothing = за { $seconds } с ничего не пришло. Бот в группе? В режиме приватности он видит только /start@{ $name }
setup-telegram-busy = обновления этого бота забирает другая программа: остановите её (dozor run?) и повторите
setup-telegram-webhook = обновления этого бота забирает вебхук: снимите его вызовом deleteWebhook и повторите
setup-telegram-refused = Telegram не принимает пробное оповещение: { $reason }
setup-telegram-yaml = Для { $file }:
setup-telegram-written = Записано в { $file }: telegram.chat, telegram.admins
setup-telegram-not-written = { $file } не изменён: { $reason }
setup-telegram-test = 🔔 Пробное оповещение: сюда будут приходить оповещения Дозора
setup-telegram-button = Работает
setup-telegram-works = Кнопка тоже работает
setup-telegram-press = Пробное оповещение отправлено. Нажмите кнопку под ним.
setup-telegram-pressed = ✅ Кнопку нажал(а) { $user }
setup-telegram-unpressed = Кнопку никто не нажал; само оповещение пришло.
setup-telegram-export = Токен нужен и для `dozor run`: положите его в { $variable } (см. .env.example)
setup-metavar-folder = [ПАПКА]
setup-help-service = Юнит systemd для этих настроек.
setup-help-service-install = Напечатать юнит systemd, который запускает эти настройки, и команды, которые его включают. С --write записать его. Ничего не запускает.
setup-help-service-user = Юнит пользователя (systemctl --user); по умолчанию системный.
setup-help-service-name = Имя юнита.
setup-help-service-write = Записать юнит в папку systemd.
setup-help-service-force = Вместе с --write: даже поверх другого файла с этим именем.
setup-not-text = это не текст в UTF-8
setup-service-bad-name = { $name }: не имя юнита; годятся латинские буквы, цифры, '.', '_', '-', первой буква или цифра
setup-service-bad-path = systemd не примет путь { $path }: в нём не должно быть кавычек, обратной косой черты, управляющих знаков и пробелов на концах; перенесите папку
setup-service-no-home = у этого пользователя нет домашней папки: задайте HOME
setup-service-in-the-way = { $path } уже есть, и он другой; --force запишет всё равно
setup-service-not-root = { $reason }; системный юнит записывает root, а --user делает юнит пользователя
setup-service-not-written = Не записан. Чтобы записать { $path }:
setup-service-written = Записан: { $path }
setup-service-replaced = Заменён: { $path }
setup-service-same = Без изменений: { $path }
setup-service-then = После этого:
setup-service-linger = работает после выхода из системы и запускается с ней
setup-service-env-file = Токены и пароли остаются в { $path }; юнит только ссылается на него (EnvironmentFile=).
setup-service-env-open = { $path } могут читать другие: { $command }
setup-service-no-env-file = Токены и пароли никогда не пишутся в юнит. Впишите их в { $path }, по строке ИМЯ=значение, с доступом только для вас (режим 0600), и повторите команду: юнит будет ссылаться на этот файл (EnvironmentFile=).
setup-service-env-missing = Задано только в этом терминале, у службы этого не будет: { $names }. Впишите в { $path }
